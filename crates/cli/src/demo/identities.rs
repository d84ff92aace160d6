//! Milestone 1: identities. Key set, tokens, enlistment.

use landbridge::enlist::jwt::{Claims, RsaSigner, Token, issue};
use landbridge::enlist::{
    DeviceKeys, EnlistmentRequest, FormKind, IntegratorId, SignedPreKeyPublic, UserIdentifier,
};
use landbridge::transport::HttpClient;
use landbridge::{Freshness, HttpTokenSource, TokenSource};
use landbridge_enlist::generate_rsa_pem;
use landbridge_sandbox::events::EventKind;

use super::report::{Report, Stop};
use super::watch::patiently;
use super::world::{INTEGRATOR, USER, World, now, session_of, token_url};
use crate::failure::with_causes;

pub(super) async fn run(report: &mut Report, world: &mut World) -> Result<(), Stop> {
    report.milestone("milestone 1", "identities: verification, enlistment, authentication");
    report.check("key set fetched by the sandbox", key_set(world)).await?;
    report.check("key set fetched by the partner", own_key_set(world)).await?;
    let token = report.check("token from the partner's server", token(world)).await?;
    report.check("token under another key refused", forged(world)).await?;
    report.check("alice enlisted", enlist(world)).await?;
    report.check("same request again, same login", again(world, token)).await
}

async fn key_set(world: &World) -> Result<((), String), String> {
    let fetched = |kind: &EventKind| match kind {
        EventKind::KeySet { integrator: INTEGRATOR, outcome } => Some(outcome.clone()),
        _ => None,
    };
    let event = world.handle().wait_for(0, |event| fetched(&event.kind).is_some());
    let event = patiently("fetch of the key set", event).await?;
    let outcome = fetched(&event.kind).unwrap_or_default();
    Ok(((), format!("{outcome}\nfrom {}/.well-known/oauth/openid/jwks", world.partner.base_url())))
}

/// The partner's server, which will believe pushes that are signed by one of these keys.
async fn own_key_set(world: &World) -> Result<((), String), String> {
    let served = |kind: &EventKind| matches!(kind, EventKind::KeySetServed { status: 200 });
    patiently("fetch of the sandbox's key set", world.handle().wait_for(0, |event| served(&event.kind)))
        .await?;
    Ok(((), format!("from {}: whose pushes it believes", world.sandbox.jwks_url())))
}

async fn token(world: &World) -> Result<(Token, String), String> {
    let http = HttpClient::builder().build().map_err(|error| with_causes(&error))?;
    let source = HttpTokenSource::new(http, token_url(&world.partner), &session_of(USER));
    let token = source.token(Freshness::New).await.map_err(|error| with_causes(&error))?;
    let seen = format!(
        "POST /v1/token: RS256, {} B (limit 4,096), iss {}",
        token.as_str().len(),
        world.partner.base_url()
    );
    Ok((token, seen))
}

/// A token that says the right things, signed by a key that the partner never published under the name of one it did.
async fn forged(world: &World) -> Result<((), String), String> {
    let kid = published_kid(world).await?;
    let pem = tokio::task::spawn_blocking(|| generate_rsa_pem(&mut rand::rng()))
        .await
        .map_err(|error| with_causes(&error))?
        .map_err(|error| with_causes(&error))?;
    let signer = RsaSigner::from_pkcs8_pem(&pem).and_then(|signer| signer.with_kid(&kid));
    let signer = signer.map_err(|error| with_causes(&error))?;
    let user: UserIdentifier = USER.parse().map_err(|error| with_causes(&error))?;
    let claims = Claims::user(world.partner.base_url(), &user, now(), &mut rand::rng());
    let token = issue(&signer, &claims).map_err(|error| with_causes(&error))?;
    let answer = post(world, token).await?;
    if answer.contains(r#""status":"fail""#) && answer.contains(r#""reason":"bad_token""#) {
        Ok(((), answer))
    } else {
        Err(format!("a forged token was answered with {answer}"))
    }
}

async fn published_kid(world: &World) -> Result<String, String> {
    let http = HttpClient::builder().build().map_err(|error| with_causes(&error))?;
    let url = format!("{}/.well-known/oauth/openid/jwks", world.partner.base_url());
    let answer = http.get(&url, &[]).await.map_err(|error| with_causes(&error))?;
    let set: serde_json::Value = serde_json::from_slice(&answer.body).map_err(|error| with_causes(&error))?;
    let kid = set.pointer("/keys/0/kid").and_then(|kid| kid.as_str());
    kid.map(str::to_owned).ok_or_else(|| "the key set has no key".to_owned())
}

async fn enlist(world: &mut World) -> Result<((), String), String> {
    let address = world.client.enlist(USER, INTEGRATOR).await.map_err(|error| error.chain())?;
    let seen = format!(
        "{USER} is {address} to WhatsApp; identity key {}…, registration id {}",
        hex::encode(&world.account.identity.public().as_bytes()[..4]),
        world.account.registration_id
    );
    world.address = Some(address);
    Ok(((), seen))
}

/// Repeats the client's request byte for byte but for the token, and so sees the answer itself.
async fn again(world: &World, token: Token) -> Result<((), String), String> {
    let answer = post(world, token).await?;
    let expected = format!(r#"{{"login":"{}","status":"ok"}}"#, world.address_text());
    if answer == expected { Ok(((), answer)) } else { Err(format!("expected {expected}, got {answer}")) }
}

async fn post(world: &World, token: Token) -> Result<String, String> {
    let signed = world.signed_prekey.public();
    let request = EnlistmentRequest {
        keys: DeviceKeys {
            auth_key: world.account.noise_static.public(),
            registration_id: world.account.registration_id,
            identity_key: *world.account.identity.public(),
            signed_prekey: SignedPreKeyPublic {
                id: signed.id.get(),
                key: signed.key,
                signature: signed.signature,
            },
        },
        integrator: IntegratorId::new(INTEGRATOR).ok_or("the integrator id is out of range")?,
        identifier: USER.parse().map_err(|error| with_causes(&error))?,
        token,
    };
    let http = HttpClient::builder().build().map_err(|error| with_causes(&error))?;
    let body = request.to_form(FormKind::Full);
    let url = world.sandbox.enlist_url();
    let answer = http.post(&url, EnlistmentRequest::CONTENT_TYPE, body, &[]).await;
    let answer = answer.map_err(|error| with_causes(&error))?;
    Ok(String::from_utf8_lossy(&answer.body).into_owned())
}
