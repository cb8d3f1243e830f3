//! Which credential is presented, compared in constant time.
//!
//! Secrets are not kept: of each there is a keyed hash, made with a key of this process, and what a client
//! presents is verified against all of them, whichever matches.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{hmac, rand};

use super::access::{Need, Refusal};
use super::config::{Auth, Role};
use super::error::FileError;

/// A shorter token can be guessed.
const TOKEN_BYTES_MIN: usize = 16;

/// All credentials, as hashes.
pub(super) struct Keys {
    key: hmac::Key,
    known: Vec<(hmac::Tag, Role)>,
    is_metrics_open: bool,
    /// What `WWW-Authenticate` says.
    pub(super) challenge: HeaderValue,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} credentials>", self.known.len())
    }
}

impl Keys {
    /// # Errors
    /// [`FileError`] when a file cannot be read or holds no credential.
    pub(super) fn load(auth: &Auth) -> Result<Self, FileError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new());
        let key = key.map_err(|_| FileError::new("listen.auth", "", "no random numbers"))?;
        let mut known = Vec::new();
        let mut keep = |scheme: &str, secret: &str, role| {
            known.push((hmac::sign(&key, canonical(scheme, secret).as_bytes()), role));
        };
        for (i, one) in auth.credentials.iter().enumerate() {
            let name = |field: &str| format!("listen.auth.credentials[{i}].{field}");
            if let Some(path) = &one.token_file {
                for token in tokens(&name("token_file"), path)? {
                    keep("bearer", &token, one.role);
                }
            }
            if let (Some(user), Some(path)) = (&one.user, &one.password_file) {
                let at = name("password_file");
                let text = read_secret(&at, path)?;
                let password = text.trim_end_matches(['\r', '\n']);
                if password.is_empty() {
                    return Err(FileError::new(&at, path, "holds no password"));
                }
                keep("basic", &STANDARD.encode(format!("{user}:{password}")), one.role);
            }
        }
        let (has_token, has_user) = auth
            .credentials
            .iter()
            .fold((false, false), |(t, u), c| (t | c.token_file.is_some(), u | c.user.is_some()));
        let challenge = HeaderValue::from_static(match (has_token, has_user) {
            (true, false) => "Bearer realm=\"sage\"",
            (false, _) => "Basic realm=\"sage\", charset=\"UTF-8\"",
            (true, true) => "Bearer realm=\"sage\", Basic realm=\"sage\", charset=\"UTF-8\"",
        });
        Ok(Self { key, known, is_metrics_open: auth.is_metrics_open, challenge })
    }

    /// Whether a request may have what it needs.
    ///
    /// # Errors
    /// Why it may not.
    pub(super) fn check(&self, headers: &HeaderMap, need: Need) -> Result<(), Refusal> {
        let need = match need {
            Need::Nothing => return Ok(()),
            Need::Metrics if self.is_metrics_open => return Ok(()),
            Need::Metrics | Need::Read => Role::Read,
            Need::Ingest => Role::Ingest,
            Need::Admin => Role::Admin,
        };
        let presented = headers.get(header::AUTHORIZATION).ok_or(Refusal::Missing)?;
        let text = presented.to_str().map_err(|_| Refusal::Wrong)?.trim();
        let (scheme, secret) = text.split_once(' ').ok_or(Refusal::Wrong)?;
        let presented = canonical(scheme, secret.trim_start());
        let (mut is_known, mut is_enough) = (false, false);
        // All of them, so that the time taken does not tell which one it was.
        for (tag, role) in &self.known {
            let is_it = hmac::verify(&self.key, presented.as_bytes(), tag.as_ref()).is_ok();
            is_known |= is_it;
            is_enough |= is_it & (*role == need || *role == Role::Admin);
        }
        match (is_known, is_enough) {
            (_, true) => Ok(()),
            (true, false) => Err(Refusal::Role(need)),
            (false, _) => Err(Refusal::Wrong),
        }
    }
}

/// Schemes are written in any case (RFC 9110, 11.1), secrets are not.
fn canonical(scheme: &str, secret: &str) -> String {
    format!("{} {secret}", scheme.to_ascii_lowercase())
}

/// One token a line, so that an old and a new one are good at the same time while they are exchanged.
fn tokens(key: &str, path: &Path) -> Result<Vec<String>, FileError> {
    let text = read_secret(key, path)?;
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let found: Vec<String> = lines.map(Into::into).collect();
    let is_good =
        |t: &String| t.len() >= TOKEN_BYTES_MIN && t.bytes().all(|b| b.is_ascii_graphic());
    if found.is_empty() || !found.iter().all(is_good) {
        let why = format!(
            "must hold one token a line, {TOKEN_BYTES_MIN} or more printable characters without \
             spaces each; make one with: openssl rand -base64 32"
        );
        return Err(FileError::new(key, path, why));
    }
    Ok(found)
}

/// Reads a secret, unless somebody else could have written it.
fn read_secret(key: &str, path: &Path) -> Result<String, FileError> {
    let fail = |why: String| FileError::new(key, path, why);
    let mode = std::fs::metadata(path).map_err(|e| fail(e.to_string()))?.permissions().mode();
    if mode & 0o022 != 0 {
        let mode = mode & 0o777;
        return Err(fail(format!("others may write to it (mode {mode:o}); chmod go-w")));
    }
    std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))
}

/// Those files that everybody on this machine may read. Mounted secrets of containers often are.
pub(super) fn readable_by_all(files: &[PathBuf]) -> Vec<&PathBuf> {
    let is_open = |path: &&PathBuf| {
        std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o004 != 0)
    };
    files.iter().filter(is_open).collect()
}

/// The files that hold the secrets.
pub(super) fn secret_files(auth: &Auth) -> Vec<PathBuf> {
    let of =
        |c: &super::config::Credential| c.token_file.clone().or_else(|| c.password_file.clone());
    auth.credentials.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Credential;

    const TOKEN: &str = "0123456789abcdef";

    fn write(dir: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn token(role: Role, path: PathBuf) -> Credential {
        Credential { role, token_file: Some(path), user: None, password_file: None }
    }

    fn auth(credentials: Vec<Credential>) -> Auth {
        Auth { is_metrics_open: false, credentials }
    }

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn a_credential_is_good_for_its_role_and_admin_for_all() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| write(dir.path(), name, text, 0o600);
        let reader = Credential {
            role: Role::Read,
            token_file: None,
            user: Some("grafana".into()),
            password_file: Some(file("password", "pass:word \n")),
        };
        let keys = Keys::load(&auth(vec![
            token(Role::Ingest, file("ingest", &format!("# old\n{TOKEN}-old\n\n{TOKEN}-new\n"))),
            token(Role::Admin, file("admin", &format!("{TOKEN}-root"))),
            reader,
        ]))
        .unwrap();
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        let wrong = Err(Refusal::Wrong);
        let cases = [
            (format!("Bearer {TOKEN}-old"), Need::Ingest, Ok(())),
            (format!("bEARER  {TOKEN}-new "), Need::Ingest, Ok(())),
            (format!("Bearer {TOKEN}-new"), Need::Read, Err(Refusal::Role(Role::Read))),
            (format!("Bearer {TOKEN}-new"), Need::Metrics, Err(Refusal::Role(Role::Read))),
            (format!("Bearer {TOKEN}-root"), Need::Ingest, Ok(())),
            (format!("Bearer {TOKEN}-root"), Need::Admin, Ok(())),
            (basic("grafana:pass:word "), Need::Read, Ok(())),
            (basic("grafana:pass:word "), Need::Admin, Err(Refusal::Role(Role::Admin))),
            (basic("grafana:pass:word"), Need::Read, wrong.clone()),
            (basic("Grafana:pass:word "), Need::Read, wrong.clone()),
            // The secret of one scheme is none of another.
            (format!("Basic {TOKEN}-root"), Need::Read, wrong.clone()),
            (format!("Bearer {TOKEN}-ro"), Need::Read, wrong.clone()),
            ("Bearer # old".into(), Need::Ingest, wrong.clone()),
            (TOKEN.into(), Need::Read, wrong.clone()),
            ("Bearer ".into(), Need::Read, wrong),
            ("nonsense".into(), Need::Nothing, Ok(())),
        ];
        for (value, need, expected) in cases {
            assert_eq!(keys.check(&headers(&value), need), expected, "{value:?} for {need:?}");
        }
        assert_eq!(keys.check(&HeaderMap::new(), Need::Read), Err(Refusal::Missing));
        assert!(!format!("{keys:?}").contains(TOKEN));
    }

    #[test]
    fn secrets_that_are_none_are_explained() {
        let dir = tempfile::tempdir().unwrap();
        let cases = [
            ("empty", "\n# nothing\n", 0o600, "openssl rand"),
            ("short", "0123456789", 0o600, "16 or more"),
            ("spaces", "0123456789 abcdefghi", 0o600, "without spaces"),
            ("writable", TOKEN, 0o620, "chmod go-w"),
        ];
        for (name, text, mode, hint) in cases {
            let path = write(dir.path(), name, text, mode);
            let error = Keys::load(&auth(vec![token(Role::Read, path)])).unwrap_err().to_string();
            assert!(error.contains(hint) && error.contains("credentials[0].token_file"), "{error}");
        }
        let gone = dir.path().join("gone");
        let error = Keys::load(&auth(vec![token(Role::Read, gone)])).unwrap_err().to_string();
        assert!(error.contains("gone"), "{error}");
    }
}
