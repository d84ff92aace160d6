//! `landbridge wire`: stanzas between hex, XML and JSON, one at a time or line by line.

use std::io::{self, BufRead, Write};

use clap::{Args, Subcommand, ValueEnum};
use landbridge_wire::{
    DecodeError, EncodeError, EncodeOptions, InteropJid, Limits, Node, Pack, decode, decode_payload, encode,
    encode_payload, json, xml,
};

use crate::failure::Failure;

/// Arguments of `landbridge wire`
#[derive(Debug, Args)]
pub(crate) struct WireArgs {
    #[command(subcommand)]
    command: WireCommand,
}

#[derive(Debug, Subcommand)]
enum WireCommand {
    /// Turn a node, as XML or JSON, into the hex of its stanza
    Encode(EncodeArgs),
    /// Turn the hex of a stanza into XML or JSON
    Decode(DecodeArgs),
    /// Turn a node, as JSON or XML, into its canonical XML
    Xml {
        /// The node; from standard input if absent or -
        node: Option<String>,
    },
}

#[derive(Debug, Args)]
struct EncodeArgs {
    /// The node; from standard input if absent or -
    #[arg(conflicts_with = "lines")]
    node: Option<String>,
    /// Which strings are packed: all, or only the users of JIDs
    #[arg(long, value_enum, default_value_t = PackArg::All)]
    pack: PackArg,
    /// How interoperability JIDs are written
    #[arg(long, value_enum, default_value_t = InteropArg::Append)]
    interop_jid: InteropArg,
    /// Give a payload: a flags byte in front
    #[arg(long)]
    payload: bool,
    #[command(flatten)]
    batch: BatchArgs,
}

#[derive(Debug, Args)]
struct DecodeArgs {
    /// The hex; from standard input if absent or -
    #[arg(conflicts_with = "lines")]
    hex: Option<String>,
    /// Expect a payload: a flags byte in front, perhaps compressed
    #[arg(long)]
    payload: bool,
    #[command(flatten)]
    batch: BatchArgs,
}

#[derive(Debug, Args)]
struct BatchArgs {
    /// Read one node per line from standard input and give exactly one line for each
    #[arg(long)]
    lines: bool,
    /// Give JSON: nodes when decoding, and refusals in a batch
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PackArg {
    All,
    Jid,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum InteropArg {
    Append,
    Omit,
    Pair,
}

/// Runs the command.
pub(crate) fn run(args: WireArgs) -> Result<(), Failure> {
    run_with(args, io::stdin().lock(), io::stdout().lock())
}

fn run_with(args: WireArgs, input: impl BufRead, output: impl Write) -> Result<(), Failure> {
    match args.command {
        WireCommand::Encode(args) => {
            let options = args.options();
            let convert = |text: &str| encode_text(text, &options, args.payload);
            answer(args.node.as_deref(), &args.batch, input, output, convert)
        }
        WireCommand::Decode(args) => {
            let convert = |text: &str| decode_text(text, &args);
            answer(args.hex.as_deref(), &args.batch, input, output, convert)
        }
        WireCommand::Xml { node } => {
            let batch = BatchArgs { lines: false, json: false };
            answer(node.as_deref(), &batch, input, output, |text| {
                read_node(text).map(|node| xml::to_string(node.view()))
            })
        }
    }
}

impl EncodeArgs {
    fn options(&self) -> EncodeOptions {
        EncodeOptions {
            pack: match self.pack {
                PackArg::All => Pack::All,
                PackArg::Jid => Pack::Jid,
            },
            interop_jid: match self.interop_jid {
                InteropArg::Append => InteropJid::Append,
                InteropArg::Omit => InteropJid::Omit,
                InteropArg::Pair => InteropJid::Pair,
            },
            ..EncodeOptions::default()
        }
    }
}

/// Why one input was refused.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    kind: &'static str,
    /// Byte position in the input: in the stanza or payload for hex, in the text for XML and JSON.
    offset: Option<usize>,
    message: String,
}

impl Refusal {
    fn sentence(&self) -> String {
        match self.offset {
            Some(offset) => format!("{} at byte {offset}: {}", self.kind, self.message),
            None => format!("{}: {}", self.kind, self.message),
        }
    }

    fn line(&self) -> String {
        format!("error: {}", self.sentence())
    }

    fn json(&self) -> String {
        let Self { kind, offset, message } = self;
        serde_json::json!({ "error": { "kind": kind, "offset": offset, "message": message } }).to_string()
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Self { kind: error.kind.name(), offset: Some(error.offset), message: error.kind.to_string() }
    }
}

impl From<EncodeError> for Refusal {
    fn from(error: EncodeError) -> Self {
        Self { kind: error.name(), offset: None, message: error.to_string() }
    }
}

impl From<xml::XmlError> for Refusal {
    fn from(error: xml::XmlError) -> Self {
        Self { kind: "bad_xml", offset: Some(error.offset), message: error.kind.to_string() }
    }
}

/// Converts one input or, in a batch, every line of standard input.
fn answer(
    given: Option<&str>,
    batch: &BatchArgs,
    mut input: impl BufRead,
    mut output: impl Write,
    convert: impl Fn(&str) -> Result<String, Refusal>,
) -> Result<(), Failure> {
    if batch.lines {
        return convert_lines(batch, input, output, convert);
    }
    let mut text = String::new();
    let text = match given {
        Some(text) if text != "-" => text,
        _ => {
            let read = input.read_to_string(&mut text);
            read.map_err(|error| Failure::runtime(format!("standard input cannot be read: {error}")))?;
            &text
        }
    };
    match convert(text) {
        // A reader that closed the pipe has seen enough.
        Ok(line) => drop(writeln!(output, "{line}").and_then(|()| output.flush())),
        Err(refusal) => return Err(Failure::runtime(refusal.sentence())),
    }
    Ok(())
}

/// One line out for every line in, in order, each written out before the next is read.
fn convert_lines(
    batch: &BatchArgs,
    mut input: impl BufRead,
    mut output: impl Write,
    convert: impl Fn(&str) -> Result<String, Refusal>,
) -> Result<(), Failure> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = input.read_until(b'\n', &mut line);
        match count {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(Failure::runtime(format!("standard input cannot be read: {error}"))),
        }
        let result = match std::str::from_utf8(&line) {
            Ok(text) => convert(text.trim_end_matches(['\n', '\r'])),
            Err(error) => Err(Refusal {
                kind: "not_utf8",
                offset: Some(error.valid_up_to()),
                message: "the line is not UTF-8".to_owned(),
            }),
        };
        let answer = match result {
            // Line ends stand as they are in character data only, where a reference means the same.
            Ok(answer) => answer.replace('\n', "&#10;"),
            Err(refusal) if batch.json => refusal.json(),
            Err(refusal) => refusal.line(),
        };
        if writeln!(output, "{answer}").and_then(|()| output.flush()).is_err() {
            return Ok(());
        }
    }
}

/// A node from XML, which begins with `<`, or from JSON.
fn read_node(text: &str) -> Result<Node, Refusal> {
    if text.trim_start_matches('\u{FEFF}').trim_start().starts_with('<') {
        return Ok(xml::parse(text)?);
    }
    json::parse(text).map_err(|error| {
        let before: usize = text.split_inclusive('\n').take(error.line.saturating_sub(1)).map(str::len).sum();
        Refusal {
            kind: "bad_json",
            offset: Some(before + error.column.saturating_sub(1)),
            message: error.source.to_string(),
        }
    })
}

fn encode_text(text: &str, options: &EncodeOptions, payload: bool) -> Result<String, Refusal> {
    let node = read_node(text)?;
    let bytes = if payload { encode_payload(&node, options) } else { encode(&node, options) };
    Ok(hex::encode(bytes?))
}

fn decode_text(text: &str, args: &DecodeArgs) -> Result<String, Refusal> {
    let bytes = read_hex(text)?;
    let limits = Limits::default();
    let node = if args.payload { decode_payload(&bytes, &limits) } else { decode(&bytes, &limits) }?;
    Ok(if args.batch.json { json::to_string(node.view()) } else { xml::to_string(node.view()) })
}

/// Pairs of hexadecimal digits, with white space anywhere.
fn read_hex(text: &str) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut half = None;
    for (offset, character) in text.char_indices().filter(|(_, character)| !character.is_whitespace()) {
        let digit =
            character.to_digit(16).ok_or_else(|| bad_hex(offset, "this is no hexadecimal digit"))? as u8;
        match half.take() {
            None => half = Some(digit),
            Some(high) => bytes.push(high << 4 | digit),
        }
    }
    match half {
        None => Ok(bytes),
        Some(_) => Err(bad_hex(text.len(), "a hexadecimal digit is missing")),
    }
}

fn bad_hex(offset: usize, message: &str) -> Refusal {
    Refusal { kind: "bad_hex", offset: Some(offset), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        wire: WireArgs,
    }

    /// Runs a command with this standard input; gives standard output, or the failure.
    fn call(arguments: &[&str], input: &str) -> Result<String, String> {
        let cli = Cli::parse_from(["wire"].iter().chain(arguments));
        let mut output = Vec::new();
        let result = run_with(cli.wire, input.as_bytes(), &mut output);
        result.map(|()| String::from_utf8(output).unwrap()).map_err(|failure| format!("{failure:?}"))
    }

    const PING: &str = r#"{"tag":"iq","attrs":[["to",{"jid":{"user":"","server":"g.us"}}]],"content":{"nodes":[{"tag":"ping","attrs":[]}]}}"#;

    #[test]
    fn nodes_go_to_hex_and_back() {
        let stanza = "f8041911fa001cf801f80156\n";
        assert_eq!(call(&["encode", PING], ""), Ok(stanza.to_owned()));
        assert_eq!(call(&["encode", "-"], PING), Ok(stanza.to_owned()));
        assert_eq!(call(&["encode", r#"<iq to="@g.us"><ping/></iq>"#], ""), Ok(stanza.to_owned()));
        assert_eq!(call(&["encode", "--payload"], PING), Ok(format!("00{stanza}")));
        assert_eq!(call(&["decode", stanza.trim()], ""), Ok("<iq to=\"@g.us\"><ping/></iq>\n".to_owned()));
        assert_eq!(call(&["decode", "--json"], stanza), Ok(format!("{PING}\n")));
        assert_eq!(
            call(&["decode", "--json", "--payload"], &format!("00 {stanza}")),
            Ok(format!("{PING}\n"))
        );
        assert_eq!(call(&["xml"], PING), Ok("<iq to=\"@g.us\"><ping/></iq>\n".to_owned()));
        assert_eq!(call(&["xml", "<iq to='@g.us'> <ping></ping> </iq>"], ""), call(&["xml"], PING));
    }

    #[test]
    fn settings_change_the_bytes() {
        let node = r#"<a id="123456" to="1-5@interop"/>"#;
        let all = call(&["encode", node], "").unwrap();
        let jid = call(&["encode", "--pack", "jid", node], "").unwrap();
        assert!(all.contains("ff03123456") && jid.contains("fc06313233343536"));
        assert!(call(&["encode", "--interop-jid", "omit", node], "").unwrap().ends_with("f5ec7900000001\n"));
        assert!(call(&["encode", "--interop-jid", "pair", node], "").unwrap().contains("faff821a5ffc07"));
    }

    #[test]
    fn a_refusal_ends_a_single_conversion() {
        assert!(call(&["decode", "f8031308f0"], "").unwrap_err().contains("bad_token at byte 4: "));
        assert!(call(&["decode", "f8zz"], "").unwrap_err().contains("bad_hex at byte 2: "));
        assert!(call(&["encode", "<a"], "").unwrap_err().contains("bad_xml at byte 2: "));
        assert!(
            call(&["encode", "{\"tag\":\"a\",\n\"x\":1}"], "").unwrap_err().contains("bad_json at byte 14")
        );
    }

    #[test]
    fn every_line_gets_one_line() {
        let input = format!("{PING}\n\n{{\"tag\":\"\"}}\n<a/>\r\n{PING}");
        let output = call(&["encode", "--lines"], &input).unwrap();
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!(lines.len(), 5);
        assert_eq!((lines[0], lines[4]), ("f8041911fa001cf801f80156", lines[0]));
        assert!(lines[1].starts_with("error: bad_json at byte 0: "), "{}", lines[1]);
        assert_eq!(lines[2], "error: empty_tag: a node has an empty tag");

        let output = call(&["decode", "--lines", "--json"], "f80113\nf801\nf802ed75fc03610a62\n").unwrap();
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!(lines[0], r#"{"tag":"message","attrs":[]}"#);
        let error: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
        assert_eq!((&error["error"]["kind"], &error["error"]["offset"]), (&"truncated".into(), &2.into()));
        assert_eq!(lines.len(), 3);
        let output = call(&["decode", "--lines"], "f802ed75fc03610a62\n").unwrap();
        assert_eq!(output, "<body>a&#10;b</body>\n");
    }

    #[test]
    fn a_line_that_is_no_text_is_refused_and_the_batch_goes_on() {
        let batch = BatchArgs { lines: true, json: false };
        let mut output = Vec::new();
        let options = EncodeOptions::default();
        answer(None, &batch, &b"\xff\n<a/>\n"[..], &mut output, |text| encode_text(text, &options, false))
            .unwrap();
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "error: not_utf8 at byte 0: the line is not UTF-8\nf801fc0161\n"
        );
    }
}
