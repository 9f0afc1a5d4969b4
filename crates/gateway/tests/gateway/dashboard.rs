//! The page at the operators' address, as its bytes come; what it does is tested in a browser.

use crate::support::{Gateway, send};

/// A path of the page, asked for as a browser would.
async fn fetch(gateway: &Gateway, path: &str, more: &str) -> crate::support::Reply {
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{more}\r\n");
    send(gateway.admin, &head).await
}

#[tokio::test]
async fn the_page_and_all_that_it_needs_come_from_the_gateway_itself() {
    let gateway = Gateway::start("").await;
    let page = fetch(&gateway, "/", "").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    for (path, kind) in
        [("/style.css", "text/css"), ("/icon.svg", "image/svg+xml"), ("/app.js", "text/javascript")]
    {
        assert!(page.text().contains(path.trim_start_matches('/')), "{path}");
        let file = fetch(&gateway, path, "").await;
        assert_eq!(file.status, 200, "{path}");
        assert!(file.header("content-type").unwrap().starts_with(kind), "{path}");
    }
}

#[tokio::test]
async fn the_page_may_load_nothing_from_elsewhere_and_stand_in_no_frame() {
    let gateway = Gateway::start("").await;
    for path in ["/", "/app.js"] {
        let page = fetch(&gateway, path, "").await;
        let policy = page.header("content-security-policy").unwrap();
        let rules: Vec<&str> = policy.split(';').map(str::trim).collect();
        for rule in
            ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"]
        {
            assert!(rules.contains(&rule), "{rule} is not in {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    }
}

#[tokio::test]
async fn a_page_that_the_browser_has_is_not_sent_again() {
    let gateway = Gateway::start("").await;
    let page = fetch(&gateway, "/", "").await;
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    let tag = page.header("etag").unwrap();
    let again = fetch(&gateway, "/", &format!("if-none-match: {tag}\r\n")).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    let other = fetch(&gateway, "/", "if-none-match: \"another\"\r\n").await;
    assert_eq!((other.status, other.body), (200, page.body));
}

#[tokio::test]
async fn the_page_is_not_for_strangers_names() {
    let gateway = Gateway::start("").await;
    let rebound = "GET / HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    assert_eq!(send(gateway.admin, rebound).await.status, 403);
}

#[tokio::test]
async fn the_status_counts_requests_and_speaks_of_chaos_only_where_it_is() {
    let gateway = Gateway::start("").await;
    gateway.ask("").await;
    let status = gateway.operate("GET", "/status", "").await;
    assert_eq!(status.header("cache-control"), Some("no-store"));
    assert_eq!(status.json()["requests"]["ok"], 1);
    assert!(status.json().get("chaos").is_none(), "{}", status.text());
}
