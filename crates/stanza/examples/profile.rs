//! Prints the default profile as JSON, to start an own one from.

fn main() -> Result<(), serde_json::Error> {
    println!("{}", serde_json::to_string_pretty(&landbridge_stanza::Profile::default())?);
    Ok(())
}
