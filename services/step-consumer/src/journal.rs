//! What an agent step writes down, so that a kill costs at most the calls in flight (protocol.md §8).

use aidt_domain::{Decision, Digest, Effect, Failure, ProcessId, StepMessage};
use aidt_store::{ClaimRequest, Journal, JournalEntry, JournalKey, Kind, StoreError};
use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::sleep;

/// Why an agent step cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The dispatch is not current any more, burned, or another process's: stop at once, report nothing.
    #[error("the step was handed to somebody else; this executor must stop")]
    NotCurrent(#[source] StoreError),
    /// The agent asks for something else than it did before the interruption.
    #[error("call {call} differs from the one on record ({recorded}): the agent is not deterministic")]
    Diverged {
        /// Which call.
        call: u32,
        /// The digest on record.
        recorded: Digest,
    },
    /// What is on record cannot be read.
    #[error("entry {entry} of the journal cannot be read")]
    Corrupt {
        /// Which.
        entry: u32,
        /// Why.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// The store refuses.
    #[error("the journal cannot be written")]
    Store(#[source] StoreError),
}

/// A call that an agent is about to make.
#[derive(Clone, Debug, PartialEq)]
pub struct CallSpec {
    /// Of what is asked: prompt or tool with final arguments.
    pub digest: Digest,
    /// Class of the effect. A model call is `read`: in doubt it is paid for once more.
    pub effect: Effect,
    /// On record before the call.
    pub decision: Option<Decision>,
}

/// What a call was answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// The answer.
    pub result: Bytes,
    /// What it cost: tokens, money.
    pub usage: serde_json::Map<String, serde_json::Value>,
}

/// What became of a call, now or before an interruption.
#[derive(Clone, Debug, PartialEq)]
pub enum Called {
    /// It was answered.
    Done(Reply),
    /// It failed.
    Failed(Failure),
    /// A `once` call was begun before an interruption and nobody knows its outcome: park the step.
    Unknown,
}

/// What to do about a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Begun {
    /// Nothing: this is what became of it.
    Replayed(Called),
    /// Make it, with this idempotency key: the same after every interruption.
    Make {
        /// For the tool.
        key: String,
    },
}

/// An entry, as written: length of the head (4 bytes, big-endian), head (JSON), the reply's bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    format: u32,
    call: u32,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Serialize, Deserialize)]
enum What {
    #[serde(rename = "call_started")]
    Started {
        digest: Digest,
        effect: Effect,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decision: Option<Decision>,
    },
    #[serde(rename = "call_done")]
    Done {
        #[serde(default)]
        usage: serde_json::Map<String, serde_json::Value>,
    },
    #[serde(rename = "call_failed")]
    Failed { error: Failure },
}

#[derive(Debug)]
struct Recorded {
    digest: Digest,
    effect: Effect,
    called: Option<Called>,
}

/// The journal of one attempt of an agent step. Opening it is the claim.
///
/// No method is cancel safe, and none needs to be: what was cut short is what a kill cuts short. Drop the
/// journal and open it again under the next dispatch.
pub struct AgentJournal {
    journal: Arc<dyn Journal>,
    key: JournalKey,
    claim: ClaimRequest,
    step: Arc<StepMessage>,
    calls: BTreeMap<u32, Recorded>,
    next_entry: u32,
}

impl AgentJournal {
    /// Claims the dispatch and reads what earlier dispatches of the same attempt wrote.
    pub async fn open(
        journal: Arc<dyn Journal>,
        step: Arc<StepMessage>,
        process: ProcessId,
    ) -> Result<Self, JournalError> {
        let key = JournalKey { run: step.run, step: step.step, generation: step.generation, attempt: step.attempt };
        let claim = ClaimRequest {
            run: step.run,
            step: step.step,
            dispatch: step.dispatch,
            partition: step.partition,
            process,
        };
        let mut this = Self { journal, key, claim, step, calls: BTreeMap::new(), next_entry: 0 };
        for entry in this.read().await? {
            this.replay(&entry)?;
        }
        Ok(this)
    }

    /// How many calls are on record.
    #[must_use]
    pub fn recorded_calls(&self) -> usize {
        self.calls.len()
    }

    /// Makes a call, or answers what it came to before an interruption. `call` numbers the calls of the
    /// step; `make` gets the idempotency key.
    pub async fn call<F, R>(&mut self, call: u32, spec: CallSpec, make: F) -> Result<Called, JournalError>
    where
        F: FnOnce(String) -> R + Send,
        R: Future<Output = Result<Reply, Failure>> + Send,
    {
        match self.begin(call, spec).await? {
            Begun::Replayed(called) => Ok(called),
            Begun::Make { key } => {
                let made = make(key).await;
                self.finish(call, made).await
            }
        }
    }

    /// Puts on record that a call is about to be made. For calls that run side by side; else use
    /// [`call`](Self::call).
    pub async fn begin(&mut self, call: u32, spec: CallSpec) -> Result<Begun, JournalError> {
        let CallSpec { digest, effect, decision } = spec;
        if let Some(recorded) = self.calls.get(&call) {
            if recorded.digest != digest {
                return Err(JournalError::Diverged { call, recorded: recorded.digest });
            }
            return Ok(match (&recorded.called, recorded.effect) {
                (Some(called), _) => Begun::Replayed(called.clone()),
                (None, Effect::Once) => Begun::Replayed(Called::Unknown),
                (None, Effect::Read | Effect::Idempotent) => Begun::Make { key: self.idempotency_key(call) },
            });
        }
        self.append(call, What::Started { digest, effect, decision }, &[]).await?;
        self.calls.insert(call, Recorded { digest, effect, called: None });
        Ok(Begun::Make { key: self.idempotency_key(call) })
    }

    /// Puts on record what a call came to.
    pub async fn finish(&mut self, call: u32, made: Result<Reply, Failure>) -> Result<Called, JournalError> {
        let called = match made {
            Ok(reply) => {
                let what = What::Done { usage: reply.usage.clone() };
                self.append(call, what, &reply.result).await?;
                Called::Done(reply)
            }
            Err(error) => {
                self.append(call, What::Failed { error: error.clone() }, &[]).await?;
                Called::Failed(error)
            }
        };
        if let Some(recorded) = self.calls.get_mut(&call) {
            recorded.called = Some(called.clone());
        }
        Ok(called)
    }

    /// What the tool of this call may use to do its effect once: follows from the step's own key, which is
    /// the same for every dispatch of the same wanted effect.
    fn idempotency_key(&self, call: u32) -> String {
        let text = format!("{}\n{call}", self.step.idempotency_key);
        Digest::of(text.as_bytes()).to_string()["sha256:".len()..][..32].to_owned()
    }

    async fn append(&mut self, call: u32, what: What, reply: &[u8]) -> Result<(), JournalError> {
        let index = self.next_entry;
        let bytes = write(&Head { format: aidt_domain::FORMAT, call, what }, reply);
        let entry = JournalEntry { index, dispatch: self.claim.dispatch, entry: bytes };
        let mut failures = 0;
        loop {
            let Err(error) = self.journal.append(&self.key, &self.claim, entry.clone()).await else { break };
            match error.kind {
                Kind::Unavailable => {}
                // It may have happened: what is on record decides.
                Kind::Unknown => {
                    if self.read().await?.get(index as usize) == Some(&entry) {
                        break;
                    }
                }
                Kind::Conflict => return Err(JournalError::NotCurrent(error)),
                Kind::NotFound | Kind::Invalid | Kind::Corrupt => return Err(JournalError::Store(error)),
            }
            sleep(crate::lane::pause(failures)).await;
            failures += 1;
        }
        self.next_entry += 1;
        Ok(())
    }

    async fn read(&self) -> Result<Vec<JournalEntry>, JournalError> {
        let mut failures = 0;
        loop {
            match self.journal.open(&self.key, &self.claim).await {
                Ok(entries) => return Ok(entries),
                Err(error) if error.kind == Kind::Conflict => return Err(JournalError::NotCurrent(error)),
                Err(error) if !error.is_transient() => return Err(JournalError::Store(error)),
                Err(_) => sleep(crate::lane::pause(failures)).await,
            }
            failures += 1;
        }
    }

    fn replay(&mut self, entry: &JournalEntry) -> Result<(), JournalError> {
        let corrupt = |source| JournalError::Corrupt { entry: entry.index, source };
        let (head, reply) = read(&entry.entry).map_err(corrupt)?;
        self.next_entry = entry.index + 1;
        let called = match head.what {
            What::Started { digest, effect, .. } => {
                self.calls.insert(head.call, Recorded { digest, effect, called: None });
                return Ok(());
            }
            What::Done { usage } => Called::Done(Reply { result: reply, usage }),
            What::Failed { error } => Called::Failed(error),
        };
        let recorded = self.calls.get_mut(&head.call).ok_or_else(|| corrupt(None))?;
        recorded.called = Some(called);
        Ok(())
    }
}

impl std::fmt::Debug for AgentJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentJournal")
            .field("key", &self.key)
            .field("claim", &self.claim)
            .field("calls", &self.calls.len())
            .finish_non_exhaustive()
    }
}

fn write(head: &Head, reply: &[u8]) -> Bytes {
    let head = serde_json::to_vec(head).expect("an entry has string keys and finite numbers");
    let mut out = BytesMut::with_capacity(4 + head.len() + reply.len());
    out.put_u32(u32::try_from(head.len()).expect("an entry's head is small"));
    out.put_slice(&head);
    out.put_slice(reply);
    out.freeze()
}

fn read(entry: &Bytes) -> Result<(Head, Bytes), Option<serde_json::Error>> {
    let (len, rest) = entry.split_at_checked(4).ok_or(None)?;
    let len = u32::from_be_bytes(len.try_into().expect("split at 4")) as usize;
    let head = rest.get(..len).ok_or(None)?;
    Ok((serde_json::from_slice(head)?, entry.slice(4 + len..)))
}
