//! A connection that is kept up.
//!
//! It is supervised here rather than recovered by lapin, which gives up after a while and would replay
//! consumers whose streams are long gone. Whoever uses it asks for it anew each time, and fails fast
//! while it is down.

use crate::error::{Error, within};
use crate::options::Options;
use futures::StreamExt as _;
use lapin::tcp::{AMQPUriTcpExt as _, AsyncTcpStream, OwnedTLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Channel, Connection, ConnectionProperties, Event};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// lapin tells of errors, but not of each way in which a connection ends.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A connection as it is now.
#[derive(Clone)]
enum State {
    /// Not there, with what was said last.
    Down(Option<Arc<Error>>),
    Up(Arc<Connection>),
}

/// What says how a link is made.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) uris: Vec<AMQPUri>,
    pub(crate) ca: Option<String>,
    /// Shown by the broker's tools.
    pub(crate) name: String,
    pub(crate) connect_timeout: Duration,
    pub(crate) operation_timeout: Duration,
}

/// One connection, made again whenever it breaks.
#[derive(Clone)]
pub(crate) struct Link {
    state: watch::Receiver<State>,
    operation_timeout: Duration,
}

impl Link {
    /// The link, and the future that keeps it up for as long as it runs.
    pub(crate) fn new(settings: Settings) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (sender, state) = watch::channel(State::Down(None));
        (Self { state, operation_timeout: settings.operation_timeout }, keep_up(settings, sender))
    }

    /// The connection, if it is up.
    pub(crate) fn connection(&self) -> Result<Arc<Connection>, Error> {
        match &*self.state.borrow() {
            State::Up(connection) if connection.status().connected() => Ok(Arc::clone(connection)),
            State::Up(_) | State::Down(_) => Err(Error::Down),
        }
    }

    /// A new channel.
    pub(crate) async fn channel(&self) -> Result<Channel, Error> {
        let connection = self.connection()?;
        within("opening a channel", self.operation_timeout, connection.create_channel()).await
    }

    /// Waits for the first connection.
    pub(crate) async fn up(&self, after: Duration) -> Result<(), Error> {
        let mut state = self.state.clone();
        let up = tokio::time::timeout(after, state.wait_for(|s| matches!(s, State::Up(_)))).await;
        if matches!(up, Ok(Ok(_))) {
            return Ok(());
        }
        let source = match &*self.state.borrow() {
            State::Down(said) => said.clone(),
            State::Up(_) => None,
        };
        Err(Error::Connect { after, source })
    }
}

/// Tells that the connection is down, also when it is not kept up any more.
struct Tell(watch::Sender<State>);

impl Drop for Tell {
    fn drop(&mut self) {
        self.0.send_replace(State::Down(None));
    }
}

async fn keep_up(settings: Settings, state: watch::Sender<State>) {
    let tell = Tell(state);
    let state = &tell.0;
    let mut failures: u32 = 0;
    for uri in settings.uris.iter().cycle() {
        match connect(uri, &settings).await {
            Ok((connection, socket)) => {
                failures = 0;
                let connection = Arc::new(connection);
                state.send_replace(State::Up(Arc::clone(&connection)));
                ended(&connection).await;
                state.send_replace(State::Down(None));
                // Where nobody answers, closing would wait for ever.
                shut(&socket);
                tracing::warn!(link = settings.name, "the connection to RabbitMQ broke; it is made again");
            }
            Err(error) => {
                let pause = LONGEST_PAUSE.min(FIRST_PAUSE * (1 << failures.min(8)));
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(link = settings.name, %error, cause, ?pause, "no connection to RabbitMQ");
                state.send_replace(State::Down(Some(Arc::new(error))));
                failures += 1;
                tokio::time::sleep(pause).await;
            }
        }
    }
}

async fn ended(connection: &Connection) {
    let mut events = connection.events_listener().boxed();
    let mut look = tokio::time::interval(LOOK_EVERY);
    while connection.status().connected() {
        tokio::select! {
            biased;
            event = events.next() => match event {
                Some(Event::ConnectionBlocked(reason)) => {
                    tracing::warn!(reason, "RabbitMQ takes no messages");
                }
                Some(Event::ConnectionUnblocked) => tracing::info!("RabbitMQ takes messages again"),
                Some(_) => {}
                None => return,
            },
            _ = look.tick() => {}
        }
    }
}

/// A connection that nobody keeps up, to the first node, for what is done once.
pub(crate) async fn connect_once(options: &Options, name: &str) -> Result<Connection, Error> {
    let settings = Settings {
        uris: options.check()?,
        ca: options.ca.clone(),
        name: name.to_owned(),
        connect_timeout: options.connect_timeout,
        operation_timeout: options.operation_timeout,
    };
    connect(&settings.uris[0], &settings).await.map(|(connection, _)| connection)
}

/// Connects, and gives a second handle of the socket with it: a peer that never answers would otherwise
/// keep lapin's thread for ever.
async fn connect(uri: &AMQPUri, settings: &Settings) -> Result<(Connection, Arc<Mutex<Option<TcpStream>>>), Error> {
    let socket = Arc::new(Mutex::new(None));
    let properties = ConnectionProperties::default().with_connection_name(settings.name.as_str().into());
    let runtime = lapin::runtime::default_runtime().map_err(Error::amqp("starting a connection"))?;
    let (handle, reactor) = (Arc::clone(&socket), runtime.clone());
    let tls = OwnedTLSConfig { cert_chain: settings.ca.clone(), ..OwnedTLSConfig::default() };
    let dial = async move |uri: AMQPUri, _| {
        // The socket first, so that there is a second handle of it before TLS is upon it.
        let plain = AMQPUri { scheme: AMQPScheme::AMQP, ..uri.clone() };
        let stream = plain.connect_with_config_async(tls.as_ref(), &reactor).await?;
        if let AsyncTcpStream::Plain(plain) = &stream {
            let second = TcpStream::from(plain.get_ref().as_fd().try_clone_to_owned()?);
            *handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(second);
        }
        match uri.scheme {
            AMQPScheme::AMQP => Ok(stream),
            AMQPScheme::AMQPS => Ok(stream.into_tls(&uri.authority.host, tls.as_ref()).await?),
        }
    };
    let connecting = Connection::connector(uri.clone(), runtime, dial, properties);
    let connected = within("connecting", settings.connect_timeout, connecting).await;
    if connected.is_err() {
        shut(&socket);
    }
    connected.map(|connection| (connection, socket))
}

fn shut(socket: &Mutex<Option<TcpStream>>) {
    if let Some(socket) = socket.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // It may be closed already, which is what is wanted.
        let _ = socket.shutdown(Shutdown::Both);
    }
}
