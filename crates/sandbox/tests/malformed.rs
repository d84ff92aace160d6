//! Bad bytes at every layer: a precise line in the journal, the narrowest answer, and everybody else is served on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use landbridge_noise::{ClientHandshake, FrameDecoder, Intro};
use landbridge_stanza::codes::MessageErrorCode;
use landbridge_stanza::liveness::Ping;
use landbridge_stanza::stream::StreamError;
use landbridge_stanza::{Inbound, server_jid};
use landbridge_wire::{Jid, Node};
use support::*;
use tokio::io::AsyncWriteExt;

/// Sends raw bytes and waits for the end. Gives what the server sent, and what the journal says.
async fn raw_bytes(world: &World, bytes: &[u8]) -> (Vec<u8>, String) {
    let before = world.broken().len();
    let mut socket = raw(world.sandbox.chat_addr()).await;
    socket.write_all(bytes).await.unwrap();
    let answer = read_all(&mut socket).await;
    let broken = world.broken();
    assert_eq!(broken.len(), before + 1, "{broken:?}");
    (answer, broken.into_iter().next_back().unwrap())
}

#[tokio::test]
async fn before_the_handshake() {
    let world = World::new().await;
    for (bytes, says) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "byte 0 of the connection is 0x47"),
        (b"WA\x05\x03\0\0\0", "byte 2 of the connection is 0x05"),
        (b"WA\x06\x02\0\0\0", "byte 3 of the connection is 0x02"),
        (b"ED\0\x01\xff\xff\xff", "routing information of 16777215 bytes"),
        (b"WA\x06\x03\x01\0\0", "frame at byte 0 of the stream announces 65536 bytes"),
        (b"WA\x06\x03\0\0\0", "ClientHello is missing"),
        (b"WA\x06\x03\0\0\x04\xff\xff\xff\xff", "does not parse"),
        // An ephemeral of 31 bytes.
        (
            b"WA\x06\x03\0\0\x23\x12\x21\x0a\x1f0123456789012345678901234567890",
            "ephemeral of ClientHello has 31 bytes",
        ),
        // A static key without a payload.
        (b"WA\x06\x03\0\0\x28\x12\x26\x0a\x2001234567890123456789012345678901\x12\x0201", "ClientHello"),
    ] {
        let (answer, said) = raw_bytes(&world, bytes).await;
        assert_eq!(answer, b"", "nothing is said before there are keys");
        assert!(said.contains(says), "{said} lacks {says}");
    }
    // An ephemeral of low order.
    let mut weak = b"WA\x06\x03\0\0\x24\x12\x22\x0a\x20".to_vec();
    weak.extend([0; 32]);
    assert!(raw_bytes(&world, &weak).await.1.contains("low order"));
    let mut account = world.enlist("alice");
    world.log_in(&mut account).await;
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn the_last_handshake_message() {
    let world = World::new().await;
    let account = world.enlist("alice");
    for (finish, says) in [
        (&b"\0\0\x03\xff\xff\xff"[..], "ClientFinish"),
        (b"\0\0\x02\x22\0", "ClientFinish has no static"),
        (b"\xff\xff\xff", "announces 16777215 bytes"),
    ] {
        let mut socket = raw(world.sandbox.chat_addr()).await;
        let handshake = ClientHandshake::new(account.noise.clone(), Intro::default(), &mut rand::rng());
        let (_, write) = handshake.xx().unwrap();
        socket.write_all(&write).await.unwrap();
        read_frame(&mut socket, &mut FrameDecoder::new()).await.unwrap();
        socket.write_all(finish).await.unwrap();
        assert_eq!(read_all(&mut socket).await, b"");
        let said = world.broken().pop().unwrap();
        assert!(said.contains(says), "{said}");
    }
    // Closed in the middle of it.
    let mut socket = raw(world.sandbox.chat_addr()).await;
    socket.write_all(b"WA\x06\x03\0\0\x24\x12").await.unwrap();
    socket.shutdown().await.unwrap();
    read_all(&mut socket).await;
    assert!(world.broken().pop().unwrap().contains("closed the connection within a frame"));
    world.sandbox.shutdown().await;
}

/// The routing information of an earlier connection and pieces of any size change nothing.
#[tokio::test]
async fn a_slow_but_correct_beginning() {
    let world = World::new().await;
    let account = world.enlist("alice");
    let intro = Intro::default().with_routing(vec![7; 18]).unwrap();
    let (_, write) = ClientHandshake::new(account.noise.clone(), intro, &mut rand::rng()).xx().unwrap();
    let mut socket = raw(world.sandbox.chat_addr()).await;
    socket.set_nodelay(true).unwrap();
    for byte in write {
        socket.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(read_frame(&mut socket, &mut FrameDecoder::new()).await.is_some());
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn frames_after_the_login() {
    let world = World::new().await;
    let mut account = world.enlist("alice");

    // Not sealed with the keys of the connection: closed without a word, for nothing can be said to be from the client.
    for (bytes, says) in [
        (&b"\0\0\x14aaaaaaaaaaaaaaaaaaaa"[..], "frame 0 of 20 bytes does not decrypt"),
        (b"\0\0\0", "frame 0 has 0 bytes"),
    ] {
        let mut client = world.log_in_passive(&account).await;
        client.socket.write_all(bytes).await.unwrap();
        assert!(client.rest().await.is_empty());
        let said = world.broken().pop().unwrap();
        assert!(said.starts_with("[noise 6]") && said.contains(says), "{said}");
    }

    // Sealed well, but no stanza.
    for (payload, says) in [
        (&b"\0"[..], "at byte"),
        (b"\0\xf8\x02\x13", "at byte"),
        (b"\0\xf8\x01\x02\x02", "at byte"),
        (b"\x02not zlib", "at byte"),
        (&[0xfa; 4_000], "at byte"),
    ] {
        let mut client = world.log_in(&mut account).await;
        client.send_payload(payload).await;
        assert_eq!(client.inbound().await, Inbound::StreamError(StreamError::NotWellFormed));
        assert!(client.rest().await.is_empty());
        let said = world.broken().pop().unwrap();
        assert!(said.starts_with("[wire 1, 7]") && said.contains(says), "{said}");
    }
    world.log_in(&mut account).await;
    world.sandbox.shutdown().await;
}

#[tokio::test]
async fn stanzas_that_the_schema_refuses() {
    let world = World::new().await;
    let mut account = world.enlist("alice");
    let to = || server_jid();

    // The narrowest answer leaves the connection alone.
    let mut client = world.log_in(&mut account).await;
    client
        .send(&Node::new("iq").attr("id", "1").attr("type", "set").attr("xmlns", "passive").attr("to", to()))
        .await;
    let Inbound::Reply(reply) = client.inbound().await else { panic!() };
    assert_eq!((reply.id.as_str(), reply.error.unwrap().code.number()), ("1", 400));
    client
        .send(
            &Node::new("iq").attr("id", "2").attr("type", "get").attr("xmlns", "w:unknown").attr("to", to()),
        )
        .await;
    let Inbound::Reply(reply) = client.inbound().await else { panic!() };
    assert_eq!((reply.id.as_str(), reply.error.unwrap().code.number()), ("2", 501));
    client.send(&Node::new("message").attr("id", "3").attr("to", Jid::user("1"))).await;
    let Inbound::Ack(ack) = client.inbound().await else { panic!() };
    assert_eq!((ack.id.as_str(), ack.error), ("3", Some(MessageErrorCode::BadRequest)));
    client.send(&Node::new("novelty").attr("id", "4").attr("to", Jid::user("1"))).await;
    let Inbound::Ack(ack) = client.inbound().await else { panic!() };
    assert_eq!((ack.class.as_str(), ack.error.map(MessageErrorCode::number)), ("novelty", Some(488)));
    client.send(&Node::new("novelty")).await;
    client.ask(&Ping).await.unwrap();
    assert_eq!(
        world.broken(),
        [
            "[stanzas 2] <iq> lacks the child <active>: expected either <active/> or <passive/>",
            "[stanzas 2.1] a request in the namespace `w:unknown` with this content is not known",
            "[stanzas 2] <message> lacks the child <enc>: expected an encrypted copy",
            "[stanzas 2] <novelty> is no stanza that clients send",
            "[stanzas 2] <novelty> is no stanza that clients send",
        ]
    );

    // Where there is none, the stream ends.
    for node in [
        Node::new("receipt").attr("to", Jid::user("1")),
        Node::new("ack").attr("id", "1"),
        Node::new("iq").attr("type", "get").attr("xmlns", "w:p"),
        Node::new("presence").attr("type", "away"),
        Node::new("chatstate").attr("to", Jid::user("1")),
        Node::new("message").attr("id", "3"),
    ] {
        let mut client = world.log_in(&mut account).await;
        client.send(&node).await;
        assert_eq!(client.inbound().await, Inbound::StreamError(StreamError::SchemaRefused));
        assert!(client.rest().await.is_empty());
    }
    world.log_in(&mut account).await;
    world.sandbox.shutdown().await;
}

/// Every prefix and every flipped bit of a good beginning: nobody is let in by it, and the sandbox lives.
#[tokio::test]
async fn damaged_beginnings() {
    let world = World::new().await;
    let mut account = world.enlist("alice");
    let handshake = ClientHandshake::new(account.noise.clone(), Intro::default(), &mut rand::rng());
    let (_, good) = handshake.xx().unwrap();
    for at in 0..good.len() {
        let mut cut = raw(world.sandbox.chat_addr()).await;
        cut.write_all(&good[..at]).await.unwrap();
        cut.shutdown().await.unwrap();
        assert_eq!(read_all(&mut cut).await, b"");

        let mut flipped = good.clone();
        flipped[at] ^= 1;
        let mut socket = raw(world.sandbox.chat_addr()).await;
        socket.write_all(&flipped).await.unwrap();
        socket.shutdown().await.unwrap();
        // A changed ephemeral is as good as any other: a ServerHello comes, and then the end.
        read_all(&mut socket).await;
    }
    assert!(
        !world
            .events()
            .iter()
            .any(|event| { matches!(event.kind, landbridge_sandbox::events::EventKind::LoggedIn { .. }) })
    );
    world.log_in(&mut account).await;
    world.sandbox.shutdown().await;
}

/// Trees of the protocol's own words, without rhyme or reason: each is answered, passed over or ends the connection, and
/// the sandbox goes on.
#[tokio::test]
async fn arbitrary_stanzas() {
    use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
    const WORDS: [&str; 44] = [
        "iq",
        "message",
        "receipt",
        "ack",
        "notification",
        "ib",
        "presence",
        "chatstate",
        "enc",
        "key",
        "skey",
        "list",
        "user",
        "item",
        "retry",
        "registration",
        "identity",
        "type",
        "id",
        "value",
        "signature",
        "count",
        "to",
        "from",
        "xmlns",
        "encrypt",
        "get",
        "set",
        "result",
        "error",
        "code",
        "t",
        "w:p",
        "passive",
        "active",
        "participants",
        "offline_batch",
        "block",
        "action",
        "jid",
        "v",
        "2",
        "pkmsg",
        "blocklist",
    ];
    fn tree(rng: &mut StdRng, depth: u32) -> Node {
        let mut node = Node::new(WORDS.choose(rng).unwrap());
        for _ in 0..rng.random_range(0..7) {
            let key = WORDS.choose(rng).unwrap();
            node = match rng.random_range(0..4) {
                0 => node.attr(key, Jid::user("14155551001")),
                1 => node.attr(key, rng.random::<u64>()),
                _ => node.attr(key, *WORDS.choose(rng).unwrap()),
            };
        }
        if depth == 0 || rng.random_bool(0.3) {
            let len = *[0, 1, 3, 4, 32, 64, 200].choose(rng).unwrap();
            return node.bytes(vec![rng.random(); len]);
        }
        let children: Vec<_> = (0..rng.random_range(0..4)).map(|_| tree(rng, depth - 1)).collect();
        node.children(children)
    }
    let world = World::new().await;
    let mut account = world.enlist("alice");
    world.sandbox.handle().create_phone("14155551001", "Joe").unwrap();
    let rng = &mut StdRng::seed_from_u64(2_026);
    for _ in 0..60 {
        let mut client = world.log_in(&mut account).await;
        for _ in 0..40 {
            let mut stanza = tree(rng, 3);
            // Half of them get an envelope that leads further in.
            if rng.random_bool(0.5) {
                stanza = stanza
                    .attr("id", "x")
                    .attr("to", server_jid())
                    .attr("type", "set")
                    .attr("xmlns", "encrypt");
            }
            let payload = landbridge_wire::encode_payload(&stanza, &Default::default()).unwrap();
            let mut frame = Vec::new();
            client.sealer.seal_frame(&payload, &mut frame).unwrap();
            if client.socket.write_all(&frame).await.is_err() {
                break;
            }
        }
        client.socket.shutdown().await.ok();
        client.rest().await;
    }
    assert!(
        !world
            .events()
            .iter()
            .any(|event| { matches!(event.kind, landbridge_sandbox::events::EventKind::Internal { .. }) })
    );
    world.log_in(&mut account).await;
    world.sandbox.shutdown().await;
}
