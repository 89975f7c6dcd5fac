//! States of a run and of a step. The transitions stand at the top of the engine's files.

use serde::{Deserialize, Serialize};

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal, $num:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant,)* }
        impl $name {
            /// Every state, in the order of a life.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// As shown.
            #[must_use]
            pub fn as_str(self) -> &'static str { match self { $(Self::$variant => $text,)* } }
            /// As stored; never renumber.
            #[must_use]
            pub fn code(self) -> u8 { match self { $(Self::$variant => $num,)* } }
            /// From what was stored.
            #[must_use]
            pub fn from_code(code: u8) -> Option<Self> { match code { $($num => Some(Self::$variant),)* _ => None } }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.pad(self.as_str()) }
        }
        impl std::str::FromStr for $name {
            type Err = super::IdError;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|v| v.as_str() == s)
                    .ok_or_else(|| super::IdError::new("state", s, concat!($($text, " ",)*)))
            }
        }
    };
}

states! {
    /// States of a run.
    RunState {
        /// Accepted, not yet taken up by its owner.
        Created = "created", 1;
        /// A goal is being turned into steps.
        Planning = "planning", 2;
        /// Steps are being worked on.
        Running = "running", 3;
        /// Nothing new is dispatched until it is resumed.
        Paused = "paused", 4;
        /// Waits for the calls in flight to say what happened.
        Cancelling = "cancelling", 5;
        /// Ended: every step that had to succeed did.
        Done = "done", 6;
        /// Ended: with the cause in its error.
        Failed = "failed", 7;
        /// Ended by request.
        Cancelled = "cancelled", 8;
    }
}

states! {
    /// States of a step.
    StepState {
        /// Its needs have not all ended.
        Pending = "pending", 1;
        /// Could run; waits for room in its pool's window.
        Ready = "ready", 2;
        /// Handed out; nobody is known to have started it.
        Dispatched = "dispatched", 3;
        /// A process has claimed it.
        Running = "running", 4;
        /// Waits for an inbox row or a timer.
        Parked = "parked", 5;
        /// Failed, and waits for its next attempt.
        BackingOff = "backing_off", 6;
        /// A `once` effect whose outcome nobody knows.
        Unknown = "unknown", 7;
        /// Ended well.
        Done = "done", 8;
        /// Ended badly.
        Failed = "failed", 9;
        /// Not wanted: its condition was false or a need did not succeed.
        Skipped = "skipped", 10;
        /// Ended by a cancel.
        Cancelled = "cancelled", 11;
        /// Refused by policy or by an approver.
        Denied = "denied", 12;
    }
}

impl RunState {
    /// Nothing will happen to it any more unless a person reopens it.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

impl StepState {
    /// Nothing will happen to it any more unless a person retries it.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Skipped | Self::Cancelled | Self::Denied)
    }

    /// Handed out and not ended: a result with its dispatch number applies.
    #[must_use]
    pub fn is_out(self) -> bool {
        matches!(self, Self::Dispatched | Self::Running)
    }
}
