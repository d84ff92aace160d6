//! The limits, with Signal's library on the other side: how far a chain may jump, how many sessions are kept.

use serde_json::{Value, json};

use crate::{
    model::ARCHIVED,
    process::{Make, Peer, switched_on},
};

const LIBRARIES: [Make; 2] = [Make::Early, Make::Late];
/// Messages of one chain that may be missing, here.
const MAX_JUMP: usize = 2_000;

fn party(make: Make, name: &str) -> Peer {
    let mut peer = Peer::start(make);
    peer.ask(&json!({"cmd": "create", "name": name, "policy": "accept"}));
    peer.ask(&json!({"cmd": "add_prekeys", "start": 1, "count": 60}));
    peer.ask(&json!({"cmd": "add_signed_prekey", "key_id": 1}));
    peer
}

fn meet(from: &mut Peer, to: &mut Peer, name: &str, prekey: usize) {
    let bundle = to.ask(&json!({"cmd": "bundle", "prekey_id": prekey}))["bundle"].clone();
    from.ask(&json!({"cmd": "process_bundle", "peer": name, "bundle": bundle}));
}

fn write(from: &mut Peer, to: &str, text: &str) -> Value {
    from.ask(&json!({"cmd": "encrypt", "peer": to, "plaintext": text}))
}

fn read(to: &mut Peer, from: &str, letter: &Value) -> Result<String, String> {
    let (kind, message) = (&letter["type"], &letter["message"]);
    let read = to.try_ask(&json!({"cmd": "decrypt", "peer": from, "type": kind, "message": message}))?;
    Ok(read["plaintext"].as_str().unwrap().to_owned())
}

#[test]
fn a_chain_jumps_so_far_and_no_farther() {
    if !switched_on() {
        return;
    }
    for library in LIBRARIES {
        let (mut ours, mut genuine) = (party(Make::Ours, "ours"), party(library, "genuine"));
        meet(&mut genuine, &mut ours, "ours", 1);
        let letters: Vec<_> = (0..MAX_JUMP + 2).map(|_| write(&mut genuine, "ours", "aa")).collect();
        let before = ours.ask(&json!({"cmd": "session_info", "peer": "genuine"}));
        assert_eq!(read(&mut ours, "genuine", &letters[MAX_JUMP + 1]).unwrap_err(), "too_far");
        assert_eq!(before["exists"], ours.ask(&json!({"cmd": "session_info", "peer": "genuine"}))["exists"]);
        assert_eq!(read(&mut ours, "genuine", &letters[MAX_JUMP]).unwrap(), "aa");
        // Now the last one is near, and what was skipped is kept: as much as the limit allows.
        assert_eq!(read(&mut ours, "genuine", &letters[MAX_JUMP + 1]).unwrap(), "aa");
        for letter in letters[..MAX_JUMP].iter().rev() {
            assert_eq!(read(&mut ours, "genuine", letter).unwrap(), "aa");
        }
        assert_eq!(read(&mut ours, "genuine", &letters[0]).unwrap_err(), "duplicate");
        // What ours may write, the other side can read: a gap as wide as ours would take.
        let letters: Vec<_> = (0..=MAX_JUMP).map(|_| write(&mut ours, "genuine", "bb")).collect();
        assert_eq!(read(&mut genuine, "ours", &letters[MAX_JUMP]).unwrap(), "bb");
        assert_eq!(read(&mut genuine, "ours", &letters[0]).unwrap(), "bb");
    }
}

/// The forty-first archived session is dropped on both sides: its messages open no more, the others do.
#[test]
fn forty_sessions_are_archived() {
    if !switched_on() {
        return;
    }
    for library in LIBRARIES {
        for turned in [false, true] {
            let (mut ours, mut genuine) = (party(Make::Ours, "ours"), party(library, "genuine"));
            let (reader, writer, reader_name, writer_name) = if turned {
                (&mut ours, &mut genuine, "ours", "genuine")
            } else {
                (&mut genuine, &mut ours, "genuine", "ours")
            };
            let mut late = Vec::new();
            for prekey in 1..=ARCHIVED + 3 {
                meet(writer, reader, reader_name, prekey);
                let soon = write(writer, reader_name, "01");
                late.push(write(writer, reader_name, "02"));
                assert_eq!(read(reader, writer_name, &soon).unwrap(), "01");
            }
            // 43 sessions were begun: one is current, forty are archived.
            for lost in &late[..2] {
                assert_eq!(read(reader, writer_name, lost).unwrap_err(), "no_prekey");
            }
            for kept in &late[2..] {
                assert_eq!(read(reader, writer_name, kept).unwrap(), "02");
            }
        }
    }
}
