//! `landbridge media`: files are encrypted and decrypted, and what is refused leaves nothing.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::common::{landbridge, run, stderr, stdout};

/// Any key.
const KEY: &str = "0000000000000000000000000000000000000000000000000000000000000001";

fn piped(directory: &Path, args: &[&str], input: &[u8]) -> Output {
    let mut command = landbridge(directory);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text:?}"))
}

#[test]
fn a_file_goes_there_and_back() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let plain: Vec<u8> = (0..300_000_u32).map(|n| (n / 7) as u8).collect();
    fs::write(directory.join("film.mp4"), &plain).unwrap();

    let output = run(directory, &["media", "encrypt", "--kind", "video", "--json", "film.mp4", "film.enc"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let sealed = json(&stdout(&output));
    assert_eq!((&sealed["file_length"], &sealed["encrypted_length"]), (&300_000.into(), &300_026.into()));
    let key = sealed["media_key"].as_str().unwrap().to_owned();
    let text = |name: &str| sealed[name].as_str().unwrap().to_owned();
    let encrypted = fs::read(directory.join("film.enc")).unwrap();
    assert_eq!(encrypted.len(), 300_026);

    let mut args = vec!["media", "decrypt", "--kind", "video", "--key", &key, "--json"];
    let (enc, sha) = (text("file_enc_sha256"), text("file_sha256"));
    args.extend(["--file-enc-sha256", &enc, "--file-sha256", &sha, "--file-length", "300000"]);
    let output = run(directory, &[&args[..], &["film.enc", "back.mp4"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let mut opened = json(&stdout(&output));
    opened["media_key"] = key.clone().into();
    assert_eq!(opened, sealed, "what was opened is what was sealed, sidecar included");
    assert_eq!(fs::read(directory.join("back.mp4")).unwrap(), plain);

    // Through pipes, where the report goes beside.
    let output = piped(directory, &[&args[..], &["-", "-"]].concat(), &encrypted);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(output.stdout, plain);
    assert_eq!(json(&stderr(&output))["file_sha256"], sealed["file_sha256"]);
    let output = piped(directory, &["media", "encrypt", "--kind", "video", "--key", &key, "-", "-"], &plain);
    assert_eq!(output.stdout, encrypted);

    let output = run(directory, &["media", "inspect", "--json", "film.enc"]);
    let found = json(&stdout(&output));
    assert_eq!(found["file_enc_sha256"], sealed["file_enc_sha256"]);
    assert_eq!((&found["file_length_least"], &found["file_length_most"]), (&300_000.into(), &300_015.into()));
    assert_eq!(found["sidecar_entries"], 5);
    assert!(stdout(&run(directory, &["media", "inspect", "film.mp4"])).contains("length_is_possible: false"));
}

#[test]
fn the_program_agrees_with_the_vectors() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../media/tests/vectors/encrypt.json");
    let vectors = json(&fs::read_to_string(path).unwrap());
    let directory = tempfile::tempdir().unwrap();
    for case in vectors["cases"].as_array().unwrap().iter().filter(|case| case.get("enc_hex").is_some()) {
        let text = |name: &str| case[name].as_str().unwrap();
        let plain = hex::decode(text("plaintext_hex")).unwrap();
        if !["image", "ptt"].contains(&text("type")) {
            continue;
        }
        let args = ["media", "encrypt", "--kind", text("type"), "--key", text("media_key"), "-", "-"];
        let output = piped(directory.path(), &args, &plain);
        assert_eq!(hex::encode(&output.stdout), text("enc_hex"), "{}", text("id"));
        let args = ["media", "decrypt", "--kind", text("type"), "--key", text("media_key"), "-", "-"];
        assert_eq!(piped(directory.path(), &args, &output.stdout).stdout, plain, "{}", text("id"));
    }
}

#[test]
fn a_refused_file_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let encrypt = ["media", "encrypt", "--kind", "document", "--key", KEY, "-", "letter.enc"];
    assert!(piped(directory, &encrypt, &[0x41; 200_000]).status.success());
    let good = fs::read(directory.join("letter.enc")).unwrap();
    let mut flipped = good.clone();
    flipped[70_000] ^= 1;
    let other = "1000000000000000000000000000000000000000000000000000000000000000";
    let hash = "A".repeat(43) + "=";
    for (encrypted, kind, key, more, code) in [
        (&flipped[..], "document", KEY, &[][..], "mac_mismatch"),
        (&good[..good.len() - 1], "document", KEY, &[], "bad_enc_length"),
        (&good[..good.len() - 16], "document", KEY, &[], "mac_mismatch"),
        (&[], "document", KEY, &[], "bad_enc_length"),
        (&good, "image", KEY, &[], "mac_mismatch"),
        (&good, "document", other, &[], "mac_mismatch"),
        (&good, "document", KEY, &["--file-enc-sha256", &hash], "enc_hash_mismatch"),
        (&good, "document", KEY, &["--file-sha256", &hash], "plain_hash_mismatch"),
        (&good, "document", KEY, &["--file-length", "199999"], "length_mismatch"),
        (&good, "document", KEY, &["--limit", "100000"], "too_large"),
    ] {
        fs::write(directory.join("bad.enc"), encrypted).unwrap();
        let args = ["media", "decrypt", "--kind", kind, "--key", key, "--json", "bad.enc"];
        for (out, is_file) in [("letter.txt", true), ("-", false)] {
            let output = run(directory, &[&args[..], more, &[out]].concat());
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{code}: {said}");
            assert!(said.contains(code) && said.lines().count() == 1, "{code} is not in {said}");
            assert_eq!(stdout(&output), "", "{code}: nothing reaches standard output");
            assert!(!is_file || !directory.join("letter.txt").exists(), "{code}");
        }
        let files = fs::read_dir(directory).unwrap().count();
        assert_eq!(files, 2, "{code}: nothing but the two encrypted files is left");
    }
}

#[test]
fn wrong_arguments_are_told() {
    let directory = tempfile::tempdir().unwrap();
    for (args, part) in [
        (&["--kind", "picture", "--key", KEY, "in", "out"][..], "known: image, sticker"),
        (&["--kind", "image", "--key", "00", "in", "out"], "64 hexadecimal digits"),
        (&["--kind", "image", "in", "out"], "--key"),
        (&["--kind", "image", "--key", KEY, "--file-sha256", "x", "in", "out"], "32 bytes"),
    ] {
        let output = run(directory.path(), &[&["media", "decrypt"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(part), "{part} is not in {}", stderr(&output));
    }
    let output = run(directory.path(), &["media", "decrypt", "--kind", "image", "--key", KEY, "none", "out"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("none cannot be read"), "{}", stderr(&output));
}

/// What lies in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_written_into_and_not_replaced() {
    use std::os::unix::fs::FileTypeExt as _;

    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    fs::write(directory.join("in"), b"the harbour").unwrap();
    let encrypt =
        |out: &str| ["media", "encrypt", "--kind", "image", "--key", KEY, "in", out].map(str::to_owned);

    // A pipe with a name.
    let made = std::process::Command::new("mkfifo").arg(directory.join("pipe")).status().unwrap();
    assert!(made.success());
    let reader = std::thread::spawn({
        let pipe = directory.join("pipe");
        move || fs::read(pipe).unwrap()
    });
    let arguments = encrypt("pipe");
    let output = run(directory, &arguments.each_ref().map(String::as_str));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(reader.join().unwrap().len(), 26);
    assert!(fs::metadata(directory.join("pipe")).unwrap().file_type().is_fifo());

    // A link: the file behind it is meant.
    fs::create_dir(directory.join("shelf")).unwrap();
    fs::write(directory.join("shelf/target"), b"old").unwrap();
    std::os::unix::fs::symlink("shelf/target", directory.join("link")).unwrap();
    let output = run(directory, &encrypt("link").each_ref().map(String::as_str));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(fs::symlink_metadata(directory.join("link")).unwrap().is_symlink());
    assert_eq!(fs::read(directory.join("shelf/target")).unwrap().len(), 26);

    // A folder is refused before anything is read.
    let output = run(directory, &encrypt("shelf").each_ref().map(String::as_str));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!((names(directory).len(), names(&directory.join("shelf")).len()), (4, 1));
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_that_is_full_fails_and_stays_a_device() {
    use std::os::unix::fs::FileTypeExt as _;

    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("in"), b"the harbour").unwrap();
    // By a link of its own, so that no mistake harms the machine.
    let full = directory.path().join("full");
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    let output = run(directory.path(), &["media", "encrypt", "--kind", "image", "--key", KEY, "in", "full"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("full cannot be written"), "{}", stderr(&output));
    assert!(fs::symlink_metadata(&full).unwrap().is_symlink());
    assert!(fs::metadata(&full).unwrap().file_type().is_char_device());
}

#[cfg(unix)]
#[test]
fn who_stops_it_in_the_middle_finds_nothing() {
    for signal in ["INT", "TERM"] {
        let directory = tempfile::tempdir().unwrap();
        let mut command = landbridge(directory.path());
        command.args(["media", "decrypt", "--kind", "video", "--key", KEY, "-", "out"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&[7; 200_000]).unwrap();
        // It has begun once its file is there.
        while names(directory.path()).is_empty() {
            std::thread::yield_now();
        }
        let id = child.id().to_string();
        let sent = std::process::Command::new("kill").args(["-s", signal, &id]).status().unwrap();
        assert!(sent.success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(stderr(&output), "landbridge: stopped; nothing was written\n");
        assert_eq!(names(directory.path()), Vec::<String>::new(), "{signal}");
        drop(stdin);
    }
}
