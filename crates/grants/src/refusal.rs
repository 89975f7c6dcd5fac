//! Why a call is refused.

/// Why a worker does not run a call, or why no grant can be made for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The MAC is not that of this call under the session's key: another key, or something was changed.
    #[error("the grant is not for this call: its MAC does not fit")]
    BadMac,
    /// The call was not started in time, or it is older than what this worker remembers.
    #[error("the grant expired {late_ms} ms ago; the clocks of worker and step consumer may disagree")]
    Expired {
        /// How long ago, by the worker's clock.
        late_ms: i64,
    },
    /// A field of the grant holds a line break, which would make the signed text ambiguous.
    #[error("the field '{field}' of the grant holds a line break")]
    LineBreak {
        /// Its name.
        field: &'static str,
    },
    /// This very call was taken before.
    #[error("call {index} of dispatch {dispatch} was taken before")]
    SeenCall {
        /// The call's dispatch.
        dispatch: u32,
        /// Its index.
        index: u32,
    },
    /// The step has been handed out again since.
    #[error("dispatch {dispatch} is stale: {highest} of the same step is here")]
    StaleDispatch {
        /// The call's dispatch.
        dispatch: u32,
        /// The highest one seen.
        highest: u32,
    },
    /// The worker's sandbox is weaker than the catalogue demands.
    #[error("the tool demands the sandbox '{demanded}', this worker has '{offered}'")]
    Sandbox {
        /// What the entry demands.
        demanded: String,
        /// What there is.
        offered: String,
    },
}
