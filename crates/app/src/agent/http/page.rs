//! [`Page`]: what people see who open the agent's address in a browser. It is
//! one document with its style and its script in it, and asks nobody but this
//! agent for anything: the browser is told to run exactly these two and to load
//! nothing else.

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use ring::digest::{SHA256, digest};

use super::text::base64;

const DOCUMENT: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = concat!(
    include_str!("page/elements.js"),
    "\n",
    include_str!("page/known.js"),
    "\n",
    include_str!("page/drawing.js"),
    "\n",
    include_str!("page/person.js"),
);

/// Where they go in the document.
const STYLE_HERE: &str = "<style></style>";
const SCRIPT_HERE: &str = "<script></script>";

/// The page, put together.
pub(super) struct Page {
    document: Bytes,
    policy: HeaderValue,
}

impl Page {
    pub(super) fn new() -> Page {
        let document = DOCUMENT.replacen(STYLE_HERE, &format!("<style>{STYLE}</style>"), 1).replacen(
            SCRIPT_HERE,
            &format!("<script>{SCRIPT}</script>"),
            1,
        );
        let sum = |text: &str| base64(digest(&SHA256, text.as_bytes()).as_ref());
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            sum(STYLE),
            sum(SCRIPT)
        );
        Page { document: document.into(), policy: policy.parse().expect("it is made of letters") }
    }

    pub(super) fn response(&self) -> Response {
        let kind: (HeaderName, HeaderValue) = (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        ([kind, (CONTENT_SECURITY_POLICY, self.policy.clone())], self.document.clone()).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_needs_nobody_else() {
        let page = Page::new();
        let document = std::str::from_utf8(&page.document).unwrap();
        assert!(document.contains(STYLE) && document.contains(SCRIPT));
        assert!(!document.contains(STYLE_HERE) && !document.contains(SCRIPT_HERE));
        assert!(!STYLE.contains("</style") && !SCRIPT.contains("</script"), "it would end too early");
        // What would put text from elsewhere into the document as markup, run it, or fetch from elsewhere.
        for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
            assert!(!SCRIPT.contains(word), "{word}");
        }
        for word in ["https://", "//cdn", "@import", "url(", " style=\"", " onclick=", " onload="] {
            assert!(!document.contains(word), "{word}");
        }
        let plain_addresses = document.matches("http://").count();
        assert_eq!(plain_addresses, document.matches("http://www.w3.org/2000/svg").count(), "but the name of a format");
    }

    #[test]
    fn its_policy_names_what_is_in_it() {
        let page = Page::new();
        let policy = page.policy.to_str().unwrap();
        let script = base64(digest(&SHA256, SCRIPT.as_bytes()).as_ref());
        assert!(policy.contains(&format!("script-src 'sha256-{script}'")) && policy.starts_with("default-src 'none'"));
        assert!(!policy.contains("unsafe") && !policy.contains('*'));
    }
}
