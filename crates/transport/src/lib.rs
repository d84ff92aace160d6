//! How bytes travel: TCP and in-memory transports, PROXY protocol, small HTTP client and server shells
