//! The recorded conversations and the manners of the line interface, through the interface itself.

use serde_json::{Value, json};

use super::serve;

/// What the party answers to these lines.
fn talk(lines: &str) -> Vec<Value> {
    let mut replies = Vec::new();
    serve(lines.as_bytes(), &mut replies).unwrap();
    let replies = String::from_utf8(replies).unwrap();
    replies.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ask(requests: &[Value]) -> Vec<Value> {
    let lines: Vec<String> = requests.iter().map(Value::to_string).collect();
    talk(&lines.join("\n"))
}

fn is_right(kind: &Value, step: &Value) -> bool {
    let expect = &step["expect"];
    if step["optional"] == json!(true) {
        return ["too_far", "invalid_message"].iter().any(|right| kind == right);
    }
    let also = expect["also"].as_array().into_iter().flatten();
    also.chain([&expect["error"]]).any(|right| right == kind)
        || (expect["error"] == "invalid_message" && kind == "invalid_key")
}

fn replay(text: &str) {
    let file: Value = serde_json::from_str(text).unwrap();
    for conversation in file["conversations"].as_array().unwrap() {
        let party = &conversation["party"];
        let mut create = party.clone();
        create["cmd"] = "create".into();
        let mut requests = vec![create, json!({"cmd": "add_prekeys", "keys": party["prekeys"]})];
        for key in party["signed_prekeys"].as_array().into_iter().flatten() {
            requests
                .push(json!({"cmd": "add_signed_prekey", "key_id": key["id"], "private": key["private"]}));
        }
        let preparations = requests.len();
        let steps = conversation["steps"].as_array().unwrap();
        requests.extend(steps.iter().cloned());
        let replies = ask(&requests);
        assert_eq!(replies.len(), requests.len());
        assert!(replies[..preparations].iter().all(|reply| reply["ok"] == json!(true)), "{replies:?}");
        for (step, reply) in steps.iter().zip(&replies[preparations..]) {
            let at = format!("{}: {step} {reply}", conversation["name"]);
            if reply["ok"] == json!(true) {
                assert!(step["expect"]["error"].is_null(), "{at}");
                for (field, value) in step["expect"].as_object().unwrap() {
                    assert_eq!(&reply[field], value, "{at}");
                }
            } else {
                assert!(is_right(&reply["error"], step), "{at}");
            }
        }
    }
}

#[test]
fn recorded_conversations_replay_byte_by_byte() {
    replay(include_str!("../../../signal/tests/vectors/begin.json"));
    replay(include_str!("../../../signal/tests/vectors/order.json"));
    replay(include_str!("../../../signal/tests/vectors/trouble.json"));
    replay(include_str!("../../../signal/tests/vectors/soup.json"));
}

#[test]
fn recorded_groups_replay() {
    let text = include_str!("../../../signal/tests/vectors/groups.json");
    let mut file: Value = serde_json::from_str(text).unwrap();
    for conversation in file["conversations"].as_array_mut().unwrap() {
        let party = conversation["party"].as_object_mut().unwrap();
        party.entry("prekeys").or_insert(json!([]));
        party.entry("signed_prekeys").or_insert(json!([]));
    }
    replay(&file.to_string());
}

#[test]
fn what_is_no_request_is_refused_and_the_party_lives_on() {
    let replies = talk(concat!(
        "nonsense\n",
        "\n",
        "[1]\n",
        "{\"id\": 1}\n",
        "{\"id\": \"two\", \"cmd\": \"dance\"}\n",
        "{\"id\": 3, \"cmd\": \"export\"}\n",
        "{\"id\": 4, \"cmd\": \"encrypt\", \"peer\": \"bob\", \"plaintext\": \"00\"}\n",
        "{\"id\": 5, \"cmd\": \"create\", \"identity_private\": \"00\"}\n",
        "{\"id\": 6, \"cmd\": \"create\", \"policy\": \"lax\"}\n",
        "{\"id\": 7, \"cmd\": \"create\", \"name\": \"a\", \"registration_id\": 9}\n",
        "{\"id\": 8, \"cmd\": \"encrypt\", \"peer\": {\"name\": \"bob\", \"device\": 1}, \"plaintext\": \"00\"}\n",
        "{\"id\": 9, \"cmd\": \"encrypt\", \"peer\": {\"device\": 1}, \"plaintext\": \"00\"}\n",
        "{\"id\": 10, \"cmd\": \"sender_key_create\", \"group\": \"g\", \"frame\": \"uuid\"}",
    ));
    let short: Vec<_> = replies.iter().map(|reply| (&reply["id"], &reply["error"])).collect();
    let kinds = [
        (json!(null), json!("bad_request")),
        (json!(null), json!("bad_request")),
        (json!(1), json!("bad_request")),
        (json!("two"), json!("unknown_command")),
        (json!(3), json!("no_identity")),
        (json!(4), json!("no_identity")),
        (json!(5), json!("invalid_key")),
        (json!(6), json!("bad_request")),
        (json!(7), json!(null)),
        (json!(8), json!("no_session")),
        (json!(9), json!("bad_request")),
        (json!(10), json!("unsupported")),
    ];
    assert_eq!(short, kinds.iter().map(|(id, kind)| (id, kind)).collect::<Vec<_>>());
}

#[test]
fn tools_answer_without_a_party() {
    let (key, other) = ("01".repeat(32), "02".repeat(32));
    let replies = ask(&[
        json!({"cmd": "hello"}),
        json!({"cmd": "public_key", "private": key}),
        json!({"cmd": "public_key", "private": other}),
        json!({"cmd": "sign", "message": "aa", "private": key}),
        json!({"cmd": "sign", "message": "aa"}),
        json!({"cmd": "agree", "private": key, "public": "00".repeat(32)}),
    ]);
    assert_eq!(replies[0]["protocol"], "signal-peer/1");
    assert_eq!(replies[4]["error"], "no_identity");
    assert_eq!(replies[5]["error"], "invalid_key", "low order");
    let (mine, theirs) = (&replies[1]["public"], &replies[2]["public"]);
    let replies = ask(&[
        json!({"cmd": "verify", "message": "aa", "public": mine, "signature": replies[3]["signature"]}),
        json!({"cmd": "verify", "message": "aa", "public": theirs, "signature": replies[3]["signature"]}),
        json!({"cmd": "verify", "message": "aa", "public": mine, "signature": "00"}),
        json!({"cmd": "agree", "private": key, "public": theirs}),
        json!({"cmd": "agree", "private": other, "public": mine}),
        json!({"cmd": "fingerprint", "local_id": "61", "remote_id": "62",
               "local_identity": mine, "remote_identity": theirs}),
        json!({"cmd": "fingerprint", "local_id": "62", "remote_id": "61",
               "local_identity": theirs, "remote_identity": mine}),
    ]);
    let valid: Vec<_> = replies[..3].iter().map(|reply| reply["valid"].clone()).collect();
    assert_eq!(valid, [true, false, false]);
    assert_eq!(replies[3]["shared"], replies[4]["shared"]);
    assert_eq!(replies[5]["numeric"], replies[6]["numeric"]);
    let (a, b) = (&replies[5]["scannable"], &replies[6]["scannable"]);
    let replies = ask(&[
        json!({"cmd": "fingerprint_compare", "ours": a, "theirs": b}),
        json!({"cmd": "fingerprint_compare", "ours": a, "theirs": a}),
        json!({"cmd": "fingerprint_compare", "ours": a, "theirs": "0801"}),
    ]);
    assert_eq!(replies[0]["match"], true);
    assert_eq!(replies[1]["match"], false);
    assert_eq!(replies[2]["error"], "invalid_message");
}

/// Two processes of one party: what the first was told before it ended, the second knows.
#[test]
fn a_party_that_was_exported_goes_on_elsewhere() {
    let begin = [
        json!({"cmd": "create", "name": "a", "policy": "approve_to_send", "registration_id": 77}),
        json!({"cmd": "add_prekeys", "start": 5, "count": 3}),
        json!({"cmd": "add_signed_prekey", "key_id": 9}),
        json!({"cmd": "bundle", "prekey_id": 5}),
        json!({"cmd": "export"}),
    ];
    let a = ask(&begin);
    let meet = [
        json!({"cmd": "create", "name": "b"}),
        json!({"cmd": "process_bundle", "peer": "a", "bundle": a[3]["bundle"]}),
        json!({"cmd": "encrypt", "peer": "a", "plaintext": "01"}),
        json!({"cmd": "encrypt", "peer": "a", "plaintext": "02"}),
        json!({"cmd": "sender_key_create", "group": "g"}),
        json!({"cmd": "sender_key_encrypt", "group": "g", "plaintext": "03"}),
        json!({"cmd": "export"}),
    ];
    let b = ask(&meet);
    let import = |state: &Value| json!({"cmd": "import", "state": state});
    let decrypt =
        |n: usize| json!({"cmd": "decrypt", "peer": "b", "type": "pkmsg", "message": b[n]["message"]});
    let opening = ask(&[
        import(&a[4]["state"]),
        json!({"cmd": "list_prekeys"}),
        decrypt(3),
        json!({"cmd": "sender_key_process", "group": "g", "from": "b", "distribution": b[4]["distribution"]}),
        json!({"cmd": "export"}),
    ]);
    assert_eq!(opening[0]["identity_public"], a[0]["identity_public"]);
    assert_eq!(opening[0]["registration_id"], 77);
    assert_eq!(opening[1]["one_time"], json!([5, 6, 7]));
    assert_eq!(opening[1]["signed"], json!([9]));
    assert_eq!(opening[2]["plaintext"], "02");
    let going_on = ask(&[
        import(&opening[4]["state"]),
        decrypt(2),
        decrypt(3),
        json!({"cmd": "sender_key_decrypt", "group": "g", "from": "b", "message": b[5]["message"]}),
        json!({"cmd": "encrypt", "peer": "b", "plaintext": "04"}),
        json!({"cmd": "export"}),
    ]);
    assert_eq!(going_on[1]["plaintext"], "01");
    assert_eq!(going_on[2]["error"], "duplicate");
    assert_eq!(going_on[3]["plaintext"], "03");
    let answer = json!({"cmd": "decrypt", "peer": "a", "type": "msg", "message": going_on[4]["message"]});
    assert_eq!(ask(&[import(&b[6]["state"]), answer])[1]["plaintext"], "04");
    // Twice the same state is the same text.
    let again = ask(&[import(&going_on[5]["state"]), json!({"cmd": "export"})]);
    assert_eq!(again[1]["state"], going_on[5]["state"]);
    let cut = &going_on[5]["state"].as_str().unwrap()[2..];
    assert_eq!(ask(&[json!({"cmd": "import", "state": cut})])[0]["error"], "bad_request");
}
