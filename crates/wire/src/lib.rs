//! Binary stanza codec: nodes, JIDs, token dictionary, XML text form, frame payloads
