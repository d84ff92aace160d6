//! The partner: a published key, and tokens signed with it.

use axum::Router;
use axum::routing::get;
use landbridge::enlist::jwt::{Claims, RsaSigner, issue};
use landbridge::enlist::{UserIdentifier, jwks};
use landbridge_enlist::generate_rsa_pem;
use landbridge_transport::http_server::{HttpLimits, ServerHandle, serve};
use tokio::net::TcpListener;

use crate::error::{Doing, KillError};

/// Where sandboxes look for the keys.
const KEY_SET: &str = "/.well-known/oauth/openid/jwks";

pub(crate) struct Partner {
    signer: RsaSigner,
    url: String,
    _server: ServerHandle,
}

impl Partner {
    pub(crate) async fn start() -> Result<Self, KillError> {
        let pem = generate_rsa_pem(&mut rand::rng()).doing("make the partner's key")?;
        let signer = RsaSigner::from_pkcs8_pem(&pem).doing("read the partner's key")?;
        let document = jwks::to_json([signer.public_key()]);
        let listener = TcpListener::bind("127.0.0.1:0").await.doing("listen")?;
        let key_set = get(move || async move { ([("content-type", "application/json")], document) });
        let router = Router::new().route(KEY_SET, key_set);
        let server = serve(listener, router, HttpLimits::default(), std::future::pending())
            .doing("serve the partner's key")?;
        Ok(Self { signer, url: format!("http://{}", server.local_addr()), _server: server })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A fresh token for one user.
    pub(crate) fn token(&self, identifier: &str, now: u64) -> Result<String, KillError> {
        let identifier: UserIdentifier = identifier.parse().doing("name the user")?;
        let claims = Claims::user(self.url.as_str(), &identifier, now, &mut rand::rng());
        let token = issue(&self.signer, &claims).doing("sign a token")?;
        Ok(token.as_str().to_owned())
    }
}
