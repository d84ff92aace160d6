//! The partner's HTTP server: JWKS and identity tokens
