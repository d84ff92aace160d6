//! Which faults there are.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

/// Where a fault happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// Enlistment and key set.
    Http,
    /// Pushes to partners.
    Push,
    /// Bytes of the chat connection.
    Tcp,
    /// Stanzas of the chat connection.
    Stanza,
    /// Messages and their keys.
    Message,
    /// The sandbox's clock.
    Time,
    /// Answers of the media server.
    Media,
}

/// No fault has this name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no fault named {name:?}")]
pub struct UnknownFault {
    /// The name.
    pub name: String,
}

macro_rules! faults {
    ($($fault:ident $name:literal $layer:ident $rate:literal $what:literal;)+) => {
        /// A fault that the sandbox can inject.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Fault {
            $(#[doc = $what] $fault,)+
        }

        impl Fault {
            /// All faults, in the order of their layers.
            pub const ALL: &'static [Self] = &[$(Self::$fault,)+];

            /// Its name in the control API and on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$fault => $name,)+ }
            }

            /// Where it happens.
            pub const fn layer(self) -> Layer {
                match self { $(Self::$fault => Layer::$layer,)+ }
            }

            /// How likely it is by default, each time that it could happen. A storm has ten times as much.
            pub const fn rate(self) -> f64 {
                match self { $(Self::$fault => $rate,)+ }
            }

            /// What happens, and each time that what.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$fault => $what,)+ }
            }
        }
    };
}

faults! {
    HttpRefused "http-refused" Http 0.01
        "A request is answered with 429 or 503 and Retry-After; nothing is done.";
    HttpBrokenBefore "http-broken-before" Http 0.005
        "The connection breaks before the request is acted upon.";
    HttpBrokenAfter "http-broken-after" Http 0.005
        "The request is acted upon, and the connection breaks before the answer.";
    HttpSlow "http-slow" Http 0.05
        "A request is answered after up to 3 seconds.";
    HttpVersion "http-version" Http 0.2
        "A partner's key set is fetched in the other version of HTTP; if that fails, once more as ever.";
    HttpHeaders "http-headers" Http 0.2
        "A partner's key set is fetched, or a push sent, with header fields in another order and another case.";
    JwksRotated "jwks-rotated" Http 0.01
        "Behind an answer with the sandbox's key set, its push keys move on by one.";
    PushTwice "push-twice" Push 0.03
        "A push that was taken is sent again.";
    PushReordered "push-reordered" Push 0.03
        "A push waits up to 3 seconds for another one of any user to go first.";
    PushLate "push-late" Push 0.05
        "A push goes up to 3 seconds late.";
    PushConnected "push-connected" Push 0.02
        "A push goes for a user who has just connected.";
    PushUnknown "push-unknown" Push 0.005
        "A push for a user whom nobody knows goes along.";
    PushExpired "push-expired" Push 0.005
        "The bearer of a push ended an hour ago: the partner has to refuse it; a good one comes at once.";
    PushAudience "push-audience" Push 0.005
        "The bearer of a push is for another partner: it has to be refused; a good one comes at once.";
    PushClock "push-clock" Push 0.05
        "The bearer of a push is dated by a clock that is wrong by up to a minute.";
    PushVersion "push-version" Push 0.2
        "A push goes in the other version of HTTP; if that fails, once more as ever.";
    PushBrokenBefore "push-broken-before" Push 0.005
        "The connection breaks in the middle of a push's body; not over TLS.";
    PushBrokenAfter "push-broken-after" Push 0.005
        "The connection breaks when the answer to a push begins; not over TLS.";
    TcpSplit "tcp-split" Tcp 0.2
        "A write is split at any bytes.";
    TcpCoalesced "tcp-coalesced" Tcp 0.2
        "A write waits for the next one, 50 ms at most, and goes with it.";
    TcpHalfOpen "tcp-half-open" Tcp 0.005
        "A connection dies without a word after 1 to 30 frames: nothing is read or written any more.";
    TcpReset "tcp-reset" Tcp 0.005
        "A connection is reset inside a frame, the 1st to 30th.";
    HandshakeRefused "handshake-refused" Tcp 0.01
        "A connection is closed before the handshake; the next one is not.";
    ServerKeyRotated "server-key-rotated" Tcp 0.1
        "At a start with data of an earlier one, the chat server has another static key.";
    StanzaExtras "stanza-extras" Stanza 0.05
        "A stanza gets an unknown attribute and, unless its content is bytes, an unknown child.";
    StanzaUnknown "stanza-unknown" Stanza 0.01
        "A stanza with an unknown tag goes along.";
    AckLate "ack-late" Stanza 0.03
        "An ack comes up to 3 seconds late, behind acks of later stanzas.";
    IqLate "iq-late" Stanza 0.01
        "A request is answered after up to 10 seconds.";
    StreamEnd "stream-end" Stanza 0.01
        "The stream ends with code 503 or 515; decided once per minute of a connection.";
    BatchSmall "batch-small" Stanza 0.05
        "A batch of the mailbox has fewer stanzas than were asked for, 1 to 5.";
    CountFirst "count-first" Stanza 0.01
        "The count that ends the mailbox comes before what it counts.";
    MessageTwice "message-twice" Message 0.03
        "A message is delivered twice.";
    MessageReordered "message-reordered" Message 0.03
        "A message is overtaken by those of the next second.";
    PrekeyRepeated "prekey-repeated" Message 0.03
        "A message that begins a session is delivered again up to a second later.";
    RetryAsked "retry-asked" Message 0.01
        "A test phone gets a damaged copy of a message and asks for it again.";
    Undecryptable "undecryptable" Message 0.005
        "The first copy of a message is delivered damaged.";
    IdentityChanged "identity-changed" Message 0.001
        "A test phone is set up anew behind a message: its identity is another one.";
    PrekeysOut "prekeys-out" Message 0.01
        "A key bundle comes without a one-time prekey.";
    ClockJump "clock-jump" Time 0.0
        "The clock jumps by 5 seconds back, an hour either way or 31 days ahead; decided once per minute.";
    MediaShort "media-short" Media 0.005
        "An answer of the media server breaks before its end.";
    MediaLength "media-length" Media 0.005
        "An answer of the media server is 16 bytes shorter than the file, and says so in its length.";
    MediaWhole "media-whole" Media 0.005
        "A part of a file is asked for, and the whole is given.";
    MediaDamaged "media-damaged" Media 0.005
        "One bit of a file is another.";
    MediaGone "media-gone" Media 0.005
        "A file is gone: 404.";
    MediaSlow "media-slow" Media 0.005
        "A file comes at 1,024 bytes a second.";
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        let found = Self::ALL.iter().find(|fault| fault.name() == name);
        found.copied().ok_or_else(|| UnknownFault { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_lists_every_fault() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sandbox.md");
        let page = std::fs::read_to_string(page).unwrap();
        let rows: Vec<_> = page.lines().filter(|line| line.matches(" | ").count() == 3).collect();
        let expected = Fault::ALL.iter().map(|fault| {
            let layer = serde_json::to_value(fault.layer()).unwrap();
            let percent = (fault.rate() * 1e6).round() / 1e4;
            let rate = if percent == 0.0 { "0".to_owned() } else { format!("{percent} %") };
            format!("| `{fault}` | {} | {rate} | {} |", layer.as_str().unwrap(), fault.what())
        });
        let expected: Vec<_> = expected.collect();
        let missing: Vec<_> = expected.iter().filter(|row| !rows.contains(&row.as_str())).collect();
        assert!(missing.is_empty(), "docs/sandbox.md lacks {missing:#?}");
        let listed: Vec<_> =
            rows.iter().skip_while(|row| **row != expected[0]).take(expected.len()).copied().collect();
        assert_eq!(listed, expected, "docs/sandbox.md has another order, or faults that there are not");
    }

    #[test]
    fn names_are_read_back_and_fit_into_a_seed() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse(), Ok(*fault));
            assert!(fault.name().len() <= 24 && (0.0..=0.2).contains(&fault.rate()));
        }
        assert!("no-such".parse::<Fault>().is_err());
    }
}
