//! `GET /v1/runs/{id}/events` with `Accept: text/event-stream`: its history as it happens.

use super::list_events::raw_event;
use crate::Api;
use crate::read::Found;
use crate::read::find;
use crate::read::follow::{Follower, Frame};
use crate::web::params::seq;
use crate::web::{Caller, Params, Problem, RunOf};
use aidt_domain::Seq;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// After how long a client that lost the connection comes again.
const RETRY: Duration = Duration::from_secs(1);

/// From `Last-Event-ID`, else `?after=SEQ`, else the beginning. Each event has `id: SEQ` and
/// `event: KIND`; live text is `event: step_output`, without an id. Ends after the last event of a run
/// that has ended, or, with `?follow=false`, after what there is.
pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    caller: Caller,
    RunOf(run): RunOf,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let params = Params::of(&uri, &["after", "follow"])?;
    let after = params.seq("after")?.unwrap_or_default();
    let resumed = last_event_id(&headers)?;
    let follow = params.flag("follow", true)?;
    let found = find(&api, &caller.project, run).await?;
    if let (Some(resumed), Found::Stored(row)) = (resumed, &found)
        && row.state.is_terminal()
        && row.last_seq <= resumed
    {
        // What tells an EventSource to stop coming again.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let permit = api.admit_stream()?;
    let every = api.config.keep_alive;
    let follower = Follower::open(api, caller.project, run, resumed.unwrap_or(after), follow, permit).await;
    Ok(respond(follower, every))
}

fn respond(follower: Follower, keep_alive: Duration) -> Response {
    let first = stream::iter([Ok::<_, Infallible>(Event::default().retry(RETRY))]);
    let rest = stream::unfold(follower, async |mut follower| {
        let frame = follower.next().await?;
        Some((Ok(render(frame)), follower))
    });
    let frames = futures::StreamExt::chain(first, rest);
    let mut response = Sse::new(frames).keep_alive(KeepAlive::new().interval(keep_alive)).into_response();
    // Proxies such as nginx hold a response back otherwise.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn render(frame: Frame) -> Event {
    match frame {
        Frame::Event(event) => {
            let sse = Event::default().id(event.seq.to_string()).event(event.body.kind());
            sse.data(raw_event(&event).get())
        }
        Frame::Text(text) => {
            let json = serde_json::to_string(&text).expect("strings and numbers");
            Event::default().event("step_output").data(json)
        }
        Frame::Failed(problem) => {
            let json = serde_json::to_string(&problem.document()).expect("a document of JSON values");
            Event::default().event("problem").data(json)
        }
    }
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<Seq>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let number = value.to_str().ok().and_then(seq);
    number.map(Some).ok_or_else(|| Problem::invalid("the header Last-Event-ID is not an event's number"))
}

#[cfg(test)]
mod tests {
    use crate::Config;
    use crate::testing::{TestApp, request};
    use aidt_domain::RunId;
    use axum::body::{Body, BodyDataStream};
    use bytes::Bytes;
    use futures::StreamExt;
    use std::time::Duration;

    /// A client of a stream: its frames as they come.
    struct Client(BodyDataStream);

    impl Client {
        async fn connect(app: &TestApp, run: RunId, query: &str, headers: &[(&str, &str)]) -> Self {
            let mut r = request("GET", &format!("/v1/runs/{run}/events{query}")).header("accept", "text/event-stream");
            for (name, value) in headers {
                r = r.header(*name, *value);
            }
            let response = app.send(r.body(Body::empty()).unwrap()).await;
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["content-type"], "text/event-stream");
            let mut client = Self(response.into_body().into_data_stream());
            assert_eq!(client.frame().await.as_deref(), Some("retry: 1000\n\n"));
            client
        }

        async fn frame(&mut self) -> Option<String> {
            let bytes: Option<Bytes> = self.0.next().await.map(Result::unwrap);
            bytes.map(|b| String::from_utf8(b.to_vec()).unwrap())
        }

        /// `SEQ KIND` of the next event.
        async fn event(&mut self) -> Option<String> {
            let frame = self.frame().await?;
            let field = |name: &str| frame.lines().find_map(|l| l.strip_prefix(name)).unwrap().to_owned();
            let data: serde_json::Value = serde_json::from_str(&field("data: ")).unwrap();
            let (id, kind) = (field("id: "), field("event: "));
            assert_eq!((data["seq"].to_string(), data["kind"].as_str().unwrap()), (id.clone(), &*kind));
            Some(format!("{id} {kind}"))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn history_first_then_what_happens_then_the_end() {
        let app = TestApp::new();
        let run = app.submit().await;
        let mut client = Client::connect(&app, run, "", &[]).await;
        app.owner().turn().await;
        assert_eq!(client.event().await.unwrap(), "1 run_started");
        app.owner().finish(run, 0, "1").await;
        assert_eq!(client.event().await.unwrap(), "2 step_finished");
        app.owner().end(run, "{}").await;
        assert_eq!(client.event().await.unwrap(), "3 run_done");
        assert_eq!(client.event().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn resumes_after_the_last_event_that_the_client_saw() {
        let app = TestApp::new();
        let run = app.running().await;
        app.owner().finish(run, 0, "1").await;
        let mut client = Client::connect(&app, run, "?after=1", &[]).await;
        assert_eq!(client.event().await.unwrap(), "2 step_finished");
        app.owner().end(run, "{}").await;
        let mut client = Client::connect(&app, run, "?after=0", &[("last-event-id", "2")]).await;
        assert_eq!(client.event().await.unwrap(), "3 run_done");
        assert_eq!(client.event().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_eventsource_that_saw_the_end_is_told_not_to_come_again() {
        let app = TestApp::new();
        let run = app.running().await;
        app.owner().end(run, "{}").await;
        let again = |name: &str, value: &str, query: &str| {
            let path = format!("/v1/runs/{run}/events{query}");
            request("GET", &path).header("accept", "text/event-stream").header(name, value).body(Body::empty()).unwrap()
        };
        assert_eq!(app.call(again("last-event-id", "2", "")).await.status, 204);
        assert_eq!(app.call(again("x", "y", "?after=2")).await.text, "retry: 1000\n\n");
        app.call(again("last-event-id", "x", "")).await.problem(400, "invalid_argument");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_lost_when_the_fan_out_loses_messages() {
        let app = TestApp::new();
        let run = app.running().await;
        let mut client = Client::connect(&app, run, "?after=1", &[]).await;
        let silent =
            crate::testing::Owner::new(app.store.clone(), std::sync::Arc::new(aidt_lock::memory::MemoryLocks::new()));
        silent.finish(run, 0, "1").await;
        silent.finish(run, 1, "1").await;
        let begin = tokio::time::Instant::now();
        assert_eq!(client.event().await.unwrap(), "2 step_finished");
        assert_eq!(client.event().await.unwrap(), "3 step_finished");
        assert!(begin.elapsed() <= Duration::from_secs(1), "{:?}", begin.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn live_text_comes_without_an_id_and_does_not_delay_the_looking() {
        let app = TestApp::new();
        let run = app.running().await;
        let mut client = Client::connect(&app, run, "?after=1", &[]).await;
        let text = r#"{"step":"a","dispatch":1,"offset":0,"text":"line\r\n"}"#;
        let publish = async || app.locks.publish(&format!("live:{run}"), Bytes::from(text)).await.unwrap();
        publish().await;
        let frame = client.frame().await.unwrap();
        assert_eq!(frame, format!("event: step_output\ndata: {text}\n\n"));
        // A step that prints all the time, and a fan-out that lost the message of an event.
        crate::testing::Owner::new(app.store.clone(), std::sync::Arc::new(aidt_lock::memory::MemoryLocks::new()))
            .finish(run, 0, "1")
            .await;
        for _ in 0..20 {
            publish().await;
            let frame = client.frame().await.unwrap();
            if frame.starts_with("id: 2\n") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the event never came");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_is_kept_alive_and_ends_with_the_gateway() {
        let app = TestApp::new();
        let run = app.running().await;
        let mut client = Client::connect(&app, run, "?after=1", &[]).await;
        let begin = tokio::time::Instant::now();
        assert!(client.frame().await.unwrap().starts_with(':'));
        assert_eq!(begin.elapsed(), Duration::from_secs(15));
        app.shutdown.cancel();
        assert_eq!(client.frame().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reopened_run_is_followed_on() {
        let app = TestApp::new().with_owner();
        let run = app.submit().await;
        let mut client = Client::connect(&app, run, "", &[]).await;
        assert_eq!(client.event().await.unwrap(), "1 run_started");
        app.owner().end(run, "{}").await;
        app.post(&format!("/v1/runs/{run}/retry"), serde_json::json!({})).await.ok();
        assert_eq!(client.event().await.unwrap(), "2 run_done");
        assert_eq!(client.event().await.unwrap(), "3 run_reopened");
        app.owner().end(run, "{}").await;
        assert_eq!(client.event().await.unwrap(), "4 run_done");
        assert_eq!(client.event().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn without_following_it_ends_with_what_there_is() {
        let app = TestApp::new();
        let run = app.running().await;
        let mut client = Client::connect(&app, run, "?follow=false", &[]).await;
        assert_eq!(client.event().await.unwrap(), "1 run_started");
        assert_eq!(client.event().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn streams_are_bounded_and_a_closed_one_makes_room() {
        let app = TestApp::with(Config { max_streams: 1, ..Config::default() });
        let run = app.running().await;
        let first = Client::connect(&app, run, "", &[]).await;
        app.get(&format!("/v1/runs/{run}/wait?timeout=1")).await.problem(503, "overloaded");
        drop(first);
        assert_eq!(app.get(&format!("/v1/runs/{run}/wait?timeout=1")).await.status, 200);
    }
}
