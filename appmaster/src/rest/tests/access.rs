use std::net::SocketAddr;

use super::fake::{self, FakeView, JOB, SINK, TASK_MANAGER, TOKEN};
use super::http::{get, raw, send};
use crate::rest::RestError;
use crate::rest::routes::routes;

const METHODS: [&str; 8] = ["GET", "HEAD", "PATCH", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"];

/// Every path of the API with and without version, `/metrics`, and one that does not exist.
fn paths() -> Vec<String> {
    let named =
        |path: &str| path.replace("{job}", JOB).replace("{vertex}", SINK).replace("{task_manager}", TASK_MANAGER);
    let api = routes().into_iter().flat_map(|(path, _)| [format!("/v1{path}"), path.to_owned()]);
    api.map(|path| named(&path)).chain(["/metrics".to_owned(), "/v1/nothing".to_owned()]).collect()
}

async fn statuses(address: SocketAddr, method: &str, path: &str) -> [u16; 3] {
    let (wrong, right) = ("Bearer not-the-right-token".to_owned(), format!("Bearer {TOKEN}"));
    let status = async |headers: &[(&str, &str)]| send(address, method, path, headers).await.status;
    [status(&[]).await, status(&[("authorization", &wrong)]).await, status(&[("authorization", &right)]).await]
}

/// All routes and methods with no, a wrong and the right token: what is not allowed never reaches a handler.
#[tokio::test]
async fn every_path_is_guarded() {
    let view = FakeView::new();
    let local = fake::start(&view).await;
    let open = fake::start_at("0.0.0.0", Some(TOKEN), &view).await.unwrap();
    let open_address = SocketAddr::from(([127, 0, 0, 1], open.address().port()));
    let mut cancellations = 0;
    for path in paths() {
        for method in METHODS {
            let reading = matches!(method, "GET" | "HEAD");
            let done = match (method, path.as_str()) {
                (_, "/v1/nothing") => 404,
                ("PATCH", path) if path.ends_with(JOB) => 202,
                _ if reading => 200,
                _ => 405,
            };
            let expected = if reading { [done, 401, done] } else { [401, 401, done] };
            assert_eq!(statuses(local.address(), method, &path).await, expected, "{method} {path} on loopback");
            assert_eq!(statuses(open_address, method, &path).await, [401, 401, done], "{method} {path}");
            cancellations += if done == 202 { 2 } else { 0 };
            assert_eq!(view.canceled.lock().unwrap().len(), cancellations, "{method} {path}");
        }
    }
    assert_eq!(cancellations, 4);
}

#[tokio::test]
async fn a_server_without_a_token_only_shows() {
    let view = FakeView::new();
    let server = fake::start_at("127.0.0.1", None, &view).await.unwrap();
    let answer = send(server.address(), "PATCH", &format!("/v1/jobs/{JOB}?mode=cancel"), &[]).await;
    assert_eq!(answer.status, 403);
    assert!(answer.error().contains("started without a token"), "{answer:?}");
    assert_eq!(get(server.address(), "/v1/config").await.json()["features"]["web-cancel"], false);
    assert!(view.canceled.lock().unwrap().is_empty());
    let refused = fake::start_at("0.0.0.0", None, &view).await.unwrap_err();
    assert!(matches!(refused, RestError::TokenNeeded(_)) && refused.to_string().contains("give it a token"));
}

/// A page in a browser on this host can send requests here, but neither read nor change anything.
#[tokio::test]
async fn pages_in_a_browser_are_refused() {
    let view = FakeView::new();
    let server = fake::start(&view).await;
    let bearer = format!("Bearer {TOKEN}");
    let check = async |method: &str, headers: &[(&str, &str)], expected: u16| {
        let answer = send(server.address(), method, &format!("/v1/jobs/{JOB}"), headers).await;
        assert_eq!(answer.status, expected, "{headers:?}: {answer:?}");
        assert!(!answer.head.contains("access-control-allow"), "{answer:?}");
    };
    // A name of the attacker's that points to loopback.
    check("GET", &[("host", "rebound.example:8081")], 403).await;
    check("GET", &[("origin", "http://evil.example")], 403).await;
    check("PATCH", &[("origin", "http://evil.example"), ("authorization", &bearer)], 403).await;
    check("PATCH", &[("sec-fetch-site", "cross-site"), ("authorization", &bearer)], 403).await;
    let preflight = [("origin", "http://evil.example"), ("access-control-request-method", "PATCH")];
    check("OPTIONS", &preflight, 403).await;
    assert!(view.canceled.lock().unwrap().is_empty());
    // The address in the first line counts, whatever the header says.
    let request = b"GET http://rebound.example/v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(raw(server.address(), request).await.status, 403);
}

#[tokio::test]
async fn answers_are_not_kept_or_guessed_at() {
    let view = FakeView::new();
    let server = fake::start(&view).await;
    for path in ["/v1/overview", "/nothing", "/metrics"] {
        let head = get(server.address(), path).await.head;
        assert!(head.contains("cache-control: no-store") && head.contains("x-content-type-options: nosniff"), "{head}");
    }
    let answer = send(server.address(), "PATCH", &format!("/jobs/{JOB}"), &[]).await;
    assert!(answer.head.contains("www-authenticate: bearer"), "{answer:?}");
}
