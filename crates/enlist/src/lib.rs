//! Enlistment requests and replies, identity tokens (JWT RS256) and key sets (JWKS)
