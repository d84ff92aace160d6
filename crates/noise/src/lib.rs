//! The Noise channel of the chat connection: handshakes, certificate chain, transport ciphers, framing
