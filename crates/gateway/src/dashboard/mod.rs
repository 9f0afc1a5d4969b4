//! The dashboard: one page at the operators' address, built into the program.
//!
//! It comes as it lies here, without a build step, and asks for nothing from any other host: its policy would not let it. All
//! it shows it reads from `/status`, `/spend` and `/events`, so whatever it knows, a script can know as well.

use axum::{
    Router,
    body::Body,
    response::Response,
    routing::{MethodRouter, get},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

/// A file of the page: its path, its type, and what is in it.
type File = (&'static str, &'static str, &'static str);

const SCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: &[File] = &[
    ("/", "text/html; charset=utf-8", include_str!("index.html")),
    ("/style.css", "text/css; charset=utf-8", include_str!("style.css")),
    ("/icon.svg", "image/svg+xml", include_str!("icon.svg")),
    ("/app.js", SCRIPT, include_str!("app.js")),
    ("/dom.js", SCRIPT, include_str!("dom.js")),
    ("/link.js", SCRIPT, include_str!("link.js")),
    ("/flow.js", SCRIPT, include_str!("flow.js")),
    ("/places.js", SCRIPT, include_str!("places.js")),
    ("/journal.js", SCRIPT, include_str!("journal.js")),
    ("/spend.js", SCRIPT, include_str!("spend.js")),
    ("/chaos.js", SCRIPT, include_str!("chaos.js")),
];

/// Nothing from elsewhere, nothing inline, no frame around it, and no text that turns into markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
     trusted-types 'none'";

/// The routes of the page's files.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, file| router.route(file.0, serve(file)))
}

fn serve<S: Clone + Send + Sync + 'static>(&(_, kind, text): &'static File) -> MethodRouter<S> {
    let tag = tag(text);
    get(move |headers: HeaderMap| std::future::ready(answer(&headers, kind, text, &tag)))
}

/// A name for exactly this text, so that a browser need not fetch it again, and never keeps an older program's page.
fn tag(text: &str) -> HeaderValue {
    let digest = Sha256::digest(text);
    let name: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::try_from(format!("\"{name}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

fn answer(asked: &HeaderMap, kind: &'static str, text: &'static str, tag: &HeaderValue) -> Response {
    let known = asked.get(header::IF_NONE_MATCH).is_some_and(|known| knows(known, tag));
    let mut response = Response::new(if known { Body::empty() } else { Body::from(text) });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag.clone());
    let fixed = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether one of the tags that the browser holds is this one; a proxy on the way may have made it weak.
fn knows(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(known), Ok(tag)) = (known.to_str(), tag.to_str()) else { return false };
    known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_for_its_own_files_and_no_others() {
        let paths: Vec<&str> = FILES.iter().map(|file| file.0.trim_start_matches('/')).collect();
        for (path, _, text) in FILES {
            let words = text.split(['"', '\'', '`', ' ', '<', '>']);
            for word in
                words.filter(|word| word.ends_with(".js") || word.ends_with(".css") || word.ends_with(".svg"))
            {
                let name = word.trim_start_matches("./");
                assert!(paths.contains(&name), "{path} asks for {word}, which is not served");
            }
            let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
            assert!(
                !elsewhere.contains("http:") && !elsewhere.contains("https:"),
                "{path} names another host"
            );
        }
    }

    #[test]
    fn names_are_never_read_as_markup() {
        for (path, _, text) in FILES {
            for way in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "style=\"",
                "onclick=",
            ] {
                assert!(!text.contains(way), "{path} has {way}");
            }
        }
    }

    #[test]
    fn a_tag_is_known_strong_or_weak_and_among_others() {
        let tag = tag("text");
        let text = tag.to_str().unwrap();
        for known in [text.to_owned(), format!("W/{text}"), format!("\"other\", {text}")] {
            assert!(knows(&HeaderValue::try_from(known.clone()).unwrap(), &tag), "{known}");
        }
        assert!(!knows(&HeaderValue::from_static("\"other\""), &tag));
    }
}
