//! Generates from `proto` (a link to the folder at the root), without a protoc binary: the Rust types (prost), their
//! `Debug` without contents, and the table of fields that the strict reader walks along.

use std::{collections::HashMap, env, error::Error, fmt::Write as _, fs, path::PathBuf};

use prost::Message as _;
use prost_types::{DescriptorProto, field_descriptor_proto::Label};

const FILES: [&str; 3] = ["handshake.proto", "signal.proto", "message.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo:rerun-if-changed={}", root.display());
    let files = protox::compile(FILES.map(|file| root.join(file)), [&root])?;
    fs::write(out.join("descriptors.bin"), files.encode_to_vec())?;

    let mut types = Types::default();
    let mut names = Vec::new();
    for file in &files.file {
        let module = file.package().rsplit('.').next().unwrap_or_default().to_owned();
        for message in &file.message_type {
            types.add_message(&format!(".{}", file.package()), &format!("crate::{module}"), message);
        }
        names.push(format!(".{}", file.package()));
    }
    fs::write(out.join("fields.rs"), types.source()?)?;
    prost_build::Config::new().skip_debug(names).compile_fds(files)?;
    Ok(())
}

/// A field as the generated code needs it.
struct Field {
    number: i32,
    name: String,
    repeated: bool,
    /// `TYPE_…` of the descriptor.
    kind: &'static str,
    /// Full name of the message type, for `TYPE_MESSAGE`.
    target: String,
}

struct Type {
    rust: String,
    name: String,
    fields: Vec<Field>,
}

#[derive(Default)]
struct Types {
    messages: Vec<Type>,
    index: HashMap<String, usize>,
    enums: Vec<String>,
}

impl Types {
    fn add_message(&mut self, scope: &str, rust: &str, message: &DescriptorProto) {
        let full = format!("{scope}.{}", message.name());
        let inner = format!("{rust}::{}", snake(message.name()));
        let mut fields: Vec<Field> = message
            .field
            .iter()
            .map(|field| Field {
                number: field.number(),
                name: field.name().to_owned(),
                repeated: field.label() == Label::Repeated,
                kind: field.r#type().as_str_name(),
                target: field.type_name().to_owned(),
            })
            .collect();
        fields.sort_by_key(|field| field.number);
        self.index.insert(full.clone(), self.messages.len());
        let path = format!("{rust}::{}", message.name());
        self.messages.push(Type { rust: path, name: message.name().to_owned(), fields });
        self.enums.extend(message.enum_type.iter().map(|known| format!("{inner}::{}", known.name())));
        for nested in &message.nested_type {
            self.add_message(&full, &inner, nested);
        }
    }

    fn source(&self) -> Result<String, Box<dyn Error>> {
        let mut out = String::from("static MESSAGES: &[&[Field]] = &[\n");
        for message in &self.messages {
            out.push_str("    &[\n");
            for field in &message.fields {
                let shape = match field.kind {
                    "TYPE_STRING" => "Shape::Text".to_owned(),
                    "TYPE_BYTES" => "Shape::Bytes".to_owned(),
                    "TYPE_MESSAGE" => {
                        format!("Shape::Message({})", self.index.get(&field.target).ok_or("unknown type")?)
                    }
                    "TYPE_DOUBLE" | "TYPE_FIXED64" | "TYPE_SFIXED64" => "Shape::Fixed64".to_owned(),
                    "TYPE_FLOAT" | "TYPE_FIXED32" | "TYPE_SFIXED32" => "Shape::Fixed32".to_owned(),
                    "TYPE_GROUP" => return Err("groups are not used".into()),
                    _ => "Shape::Varint".to_owned(),
                };
                let (number, repeated) = (field.number, field.repeated);
                writeln!(out, "        Field {{ number: {number}, repeated: {repeated}, shape: {shape} }},")?;
            }
            out.push_str("    ],\n");
        }
        out.push_str("];\n");
        for (index, message) in self.messages.iter().enumerate() {
            let rust = &message.rust;
            writeln!(
                out,
                "impl Known for {rust} {{}}\nimpl Sealed for {rust} {{ const INDEX: usize = {index}; }}"
            )?;
            debug_impl(&mut out, message)?;
        }
        for rust in &self.enums {
            writeln!(
                out,
                "impl fmt::Debug for {rust} {{\n    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> \
                 fmt::Result {{ f.write_str(self.as_str_name()) }}\n}}"
            )?;
        }
        Ok(out)
    }
}

/// Keys, tokens, texts and places are shown by their length alone; numbers and flags as they are.
fn debug_impl(out: &mut String, message: &Type) -> Result<(), Box<dyn Error>> {
    writeln!(out, "impl fmt::Debug for {} {{", message.rust)?;
    writeln!(out, "    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {{")?;
    writeln!(out, "        let mut out = f.debug_struct(\"{}\");", message.name)?;
    for field in &message.fields {
        let name = &field.name;
        let rust =
            if ["type", "static"].contains(&name.as_str()) { format!("r#{name}") } else { name.clone() };
        let shown = match (field.kind, field.repeated) {
            ("TYPE_STRING" | "TYPE_BYTES", false) => "&Hidden(value.len())",
            ("TYPE_DOUBLE" | "TYPE_FLOAT", false) => "&format_args!(\"[redacted]\")",
            ("TYPE_STRING" | "TYPE_BYTES", true) => "&format_args!(\"[{} entries]\", value.len())",
            _ => "value",
        };
        if field.repeated {
            writeln!(out, "        let value = &self.{rust};")?;
            writeln!(out, "        if !value.is_empty() {{ out.field(\"{name}\", {shown}); }}")?;
        } else {
            let condition = if shown.contains("value") {
                format!("let Some(value) = &self.{rust}")
            } else {
                format!("self.{rust}.is_some()")
            };
            writeln!(out, "        if {condition} {{ out.field(\"{name}\", {shown}); }}")?;
        }
    }
    writeln!(out, "        out.finish()\n    }}\n}}")?;
    Ok(())
}

/// `CertChain` to `cert_chain`, as prost names the module of nested types.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for (at, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && at > 0 {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}
