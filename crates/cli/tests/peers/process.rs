//! Processes that speak the line protocol.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

pub(crate) fn switched_on() -> bool {
    let on = env::var("LANDBRIDGE_PEERS").is_ok_and(|value| value == "1");
    if !on {
        println!("leg \"peers\" is off: set LANDBRIDGE_PEERS=1 to talk with Signal's library");
    }
    on
}

pub(crate) fn peer_directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../peers/signal-peer")
}

/// Whose implementation a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Make {
    Ours,
    /// Signal's library before its messages said that they know more than version 3.
    Early,
    /// The last one that begins sessions without a post-quantum key.
    Late,
}

impl Make {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Early => "early",
            Self::Late => "late",
        }
    }

    fn start(self) -> Running {
        let mut command = match self {
            Self::Ours => Command::new(env!("CARGO_BIN_EXE_landbridge")),
            Self::Early | Self::Late => Command::new("node"),
        };
        match self {
            Self::Ours => command.args(["peer", "signal"]),
            Self::Early | Self::Late => {
                command.arg(peer_directory().join("peer.mjs")).args(["--lib", self.name()])
            }
        };
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the peer starts");
        let requests = child.stdin.take().unwrap();
        let replies = BufReader::new(child.stdout.take().unwrap());
        Running { child, requests, replies }
    }
}

struct Running {
    child: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing is left to be said; a peer that has ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One process that speaks the line protocol.
pub(crate) struct Peer {
    pub(crate) make: Make,
    running: Running,
}

impl Peer {
    pub(crate) fn start(make: Make) -> Self {
        Self { make, running: make.start() }
    }

    /// The reply to a request, or the kind of its error.
    pub(crate) fn try_ask(&mut self, request: &Value) -> Result<Value, String> {
        let mut line = request.to_string();
        line.push('\n');
        self.running.requests.write_all(line.as_bytes()).unwrap();
        line.clear();
        self.running.replies.read_line(&mut line).unwrap();
        let reply: Value = serde_json::from_str(&line).expect("a reply is one JSON line");
        if reply["ok"] == json!(true) { Ok(reply) } else { Err(reply["error"].as_str().unwrap().to_owned()) }
    }

    /// The reply to a request that must go well.
    pub(crate) fn ask(&mut self, request: &Value) -> Value {
        self.try_ask(request)
            .unwrap_or_else(|kind| panic!("{}: {request} is refused: {kind}", self.make.name()))
    }

    /// A new process goes on with the state of this one, which is killed.
    pub(crate) fn restart(&mut self) {
        let state = self.ask(&json!({"cmd": "export"}))["state"].clone();
        self.running = self.make.start();
        self.ask(&json!({"cmd": "import", "state": state}));
    }
}
