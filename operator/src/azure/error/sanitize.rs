//! Makes a text from outside fit for a log line, an event or a status.

/// The longest text that is kept, in characters: the sentence of a 403 ends with the scope, which is what its reader needs. An
/// event has room for 1024 bytes.
const MAX_CHARS: usize = 600;

/// No word of Azure's messages is longer: a resource id is taken apart at its slashes, and its longest part (the
/// name of an identity or of a credential) has 128 characters at most.
const MAX_WORD_CHARS: usize = 128;

/// The text on one line: white space and control characters become single spaces, words that look like a token or
/// a secret are left out, and the rest is cut to 600 characters.
pub fn safe_line(text: &str) -> String {
    let line = text
        .split(|c: char| c.is_whitespace() || c.is_control() || is_invisible(c))
        .filter(|word| !word.is_empty())
        .map(without_secrets)
        .collect::<Vec<_>>()
        .join(" ");
    match line.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
    }
}

/// Characters that change how a line is read without being seen: direction marks and zero-width ones.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The word with every secret-looking run in it left out. A run is what the alphabets of base64, base64url and
/// Entra's client secrets can spell, dots included; a slash ends it, so that resource ids and URLs stay.
fn without_secrets(word: &str) -> String {
    let in_run =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '+' | '=');
    let mut kept = String::with_capacity(word.len());
    let mut rest = word;
    while !rest.is_empty() {
        let run = rest.find(|c| !in_run(c)).unwrap_or(rest.len());
        let (candidate, after) = rest.split_at(run);
        kept.push_str(if is_secret(candidate) {
            "[removed]"
        } else {
            candidate
        });
        let other = after.find(in_run).unwrap_or(after.len());
        kept.push_str(&after[..other]);
        rest = &after[other..];
    }
    kept
}

/// A JSON web token begins with `eyJ` (base64 of `{"`); one of Entra's client secrets has a tilde.
fn is_secret(run: &str) -> bool {
    run.len() > MAX_WORD_CHARS
        || run.contains("eyJ") && run.len() >= 16
        || run.contains('~') && run.len() >= 30
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_becomes_one_line() {
        assert_eq!(
            safe_line("  one\r\n\ttwo\u{0} \u{202e}three "),
            "one two three"
        );
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let cut = safe_line(&"é ".repeat(700));
        assert_eq!(cut.chars().filter(|c| *c == 'é').count(), 300);
        assert!(cut.ends_with('…'));
    }

    #[test]
    fn what_looks_like_a_token_or_a_secret_is_left_out() {
        for secret in [
            "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl",
            "eyJhbGciOiJSUzI1NiJ9",
            "abc8Q~abcdefghijklmnopqrstuvwxyz0123456789",
            &"A".repeat(129),
        ] {
            for text in [
                secret.to_owned(),
                format!("Authorization: Bearer {secret}"),
                format!("assertion='{secret}', again={secret}"),
                format!("{{\"token\":\"{secret}\"}}"),
            ] {
                let line = safe_line(&text);
                assert!(!line.contains(secret), "{line}");
                assert!(line.contains("[removed]"), "{line}");
            }
        }
    }

    #[test]
    fn what_helps_a_reader_stays() {
        let text = "The client 'b1d1a1f0-0000-4000-8000-000000000001' does not have authorization to perform action \
                    'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write' over scope \
                    '/subscriptions/b1d1a1f0-0000-4000-8000-000000000001/resourceGroups/rg_(x).y/providers/\
                    Microsoft.ManagedIdentity/userAssignedIdentities/orders-of-the-shop/federatedIdentityCredentials/\
                    azwib-shop-orders-81e337d8b8c322d22ad65dcc0cfe3101'";
        assert_eq!(safe_line(text), text);
        let name = "n".repeat(120);
        assert_eq!(safe_line(&name), name);
    }
}
