//! Makes a text from outside fit for a log line, an event or a status.

/// The longest text that is kept, in characters: the sentence of a 403 ends with the scope, which is what its reader needs. An
/// event has room for 1024 bytes.
const MAX_CHARS: usize = 600;

/// No word of Azure's messages is longer: a resource id is taken apart at its slashes, and its longest part (the
/// name of an identity or of a credential) has 128 characters at most.
const MAX_WORD_CHARS: usize = 128;

/// No more of a text from outside is looked at.
const MAX_RAW_CHARS: usize = 8192;

/// So many characters in a row of a secret are a piece of it.
const PIECE: usize = 8;

const REMOVED: &str = "[removed]";

/// The text on one line: white space and control characters become single spaces, what looks like a token or a secret is
/// left out, also where a token has blanks in it, and the rest is cut to 600 characters.
pub fn safe_line(text: &str) -> String {
    let blank = |c: char| c.is_whitespace() || c.is_control() || is_invisible(c);
    let text: String = text.chars().take(MAX_RAW_CHARS).collect();
    let words: Vec<_> = text.split(blank).filter(|word| !word.is_empty()).collect();
    let line = without_web_tokens(&words)
        .split(' ')
        .map(without_secrets)
        .collect::<Vec<_>>()
        .join(" ");
    match line.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
    }
}

/// The text without what it repeats of these secrets, whatever stands between their letters and digits.
pub(crate) fn without(text: &str, secrets: &[&str]) -> String {
    let chars: Vec<char> = text.chars().take(MAX_RAW_CHARS).collect();
    let at: Vec<usize> = (0..chars.len())
        .filter(|index| chars[*index].is_ascii_alphanumeric())
        .collect();
    let letters = |text: &str| -> String {
        let letters = text.chars().filter(char::is_ascii_alphanumeric);
        letters.map(|it| it.to_ascii_lowercase()).collect()
    };
    let said = letters(&chars.iter().collect::<String>());
    let mut hidden = vec![false; chars.len()];
    for secret in secrets.iter().map(|secret| letters(secret)) {
        let piece = PIECE.min(secret.len());
        if piece == 0 {
            continue;
        }
        for start in 0..(said.len() + 1).saturating_sub(piece) {
            if secret.contains(&said[start..start + piece]) {
                // With all that stands between.
                hidden[at[start]..=at[start + piece - 1]].fill(true);
            }
        }
    }
    let mut kept = String::with_capacity(text.len());
    for (index, c) in chars.iter().enumerate() {
        match (hidden[index], index > 0 && hidden[index - 1]) {
            (false, _) => kept.push(*c),
            (true, false) => kept.push_str(REMOVED),
            (true, true) => {}
        }
    }
    kept
}

/// The words in one line, without JSON web tokens. Such a token begins with base64 of `{"` and two lower-case letters, and
/// blanks may stand anywhere in it.
fn without_web_tokens(words: &[&str]) -> String {
    let chars: Vec<(usize, char)> = words
        .iter()
        .enumerate()
        .flat_map(|(word, text)| text.chars().map(move |c| (word, c)))
        .collect();
    let mut kept = String::new();
    let (mut at, mut last) = (0, 0);
    while let Some((word, c)) = chars.get(at).copied() {
        if word != last {
            kept.push(' ');
            last = word;
        }
        if begins_web_token(&chars[at..]) {
            kept.push_str(REMOVED);
            at += web_token(&chars[at..], words);
            last = chars.get(at.saturating_sub(1)).map_or(last, |it| it.0);
        } else {
            kept.push(c);
            at += 1;
        }
    }
    kept
}

/// `eyJ`, and how two lower-case letters go on in base64: no two words in a row come to that.
fn begins_web_token(chars: &[(usize, char)]) -> bool {
    matches!(
        chars,
        [
            (_, 'e'),
            (_, 'y'),
            (_, 'J'),
            (_, 'h'..='z' | '0'..='6'),
            (_, 'M'..='O' | 'Y' | 'Z' | 'a'..='e'),
            ..,
        ]
    )
}

/// How many characters from here on are the token: up to the last word that is none of a language. After a token that is
/// whole in one word, the first word of a language ends it.
fn web_token(chars: &[(usize, char)], words: &[&str]) -> usize {
    let in_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=' | '+');
    let stretch = chars.iter().take_while(|(_, c)| in_token(*c)).count();
    let first = chars[0].0;
    let in_first: String = chars[..stretch]
        .iter()
        .take_while(|(word, _)| *word == first)
        .map(|(_, c)| c)
        .collect();
    let is_whole = in_first.split('.').count() == 3 && !in_first.ends_with('.');
    let mut end = in_first.len();
    let mut seen = end;
    while let Some((word, _)) = chars[..stretch].get(seen) {
        let of_word = chars[seen..stretch].iter().take_while(|it| it.0 == *word);
        seen += of_word.count();
        if !is_of_a_language(words[*word]) {
            end = seen;
        } else if is_whole {
            break;
        }
    }
    end
}

/// The words of one and two letters that messages have. Other pieces as short may be those of a token.
const SHORT_WORDS: [&str; 17] = [
    "a", "an", "as", "at", "be", "by", "if", "in", "is", "it", "no", "of", "on", "or", "so", "to",
    "we",
];

/// Lower-case letters, the first of them in upper case perhaps, and a stop at the end.
fn is_of_a_language(word: &str) -> bool {
    let letters = word.trim_end_matches('.');
    if letters.len() < 3 {
        return SHORT_WORDS.contains(&letters);
    }
    let rest = letters.strip_prefix(|c: char| c.is_ascii_uppercase());
    let mut rest = rest.unwrap_or(letters).chars();
    rest.all(|c| c.is_ascii_lowercase())
}

/// Characters that change how a line is read without being seen: direction marks, zero-width ones and their like.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
    )
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
            REMOVED
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

    const TOKEN: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJ4IiwiYXVkIjoiaHR0cHM6Ly94In0.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg";

    /// The token with something after every so many characters.
    fn broken(every: usize, with: &str) -> String {
        let pieces: Vec<_> = TOKEN.as_bytes().chunks(every).collect();
        let pieces = pieces.iter().map(|it| std::str::from_utf8(it).unwrap());
        pieces.collect::<Vec<_>>().join(with)
    }

    #[test]
    fn a_token_with_blanks_in_it_goes_as_a_whole() {
        for every in [1, 2, 3, 5, 8, 20, 40, 64] {
            for with in [" ", "\n", "\r\n ", "\t", "\u{200b}", "\u{0}", " \u{ad} "] {
                let text = format!("the token '{}' is not valid", broken(every, with));
                assert_eq!(
                    safe_line(&text),
                    "the token '[removed]' is not valid",
                    "{every} {with:?}"
                );
                let text = format!("Bearer {}", broken(every, with));
                let line = safe_line(&text);
                let left = line.strip_prefix("Bearer [removed]").unwrap_or(&line);
                assert!(left.len() < 8, "{every} {with:?}: {line}");
            }
        }
    }

    #[test]
    fn what_is_known_to_be_secret_goes_whatever_stands_in_it() {
        let secret = "Zm9vLWJhci1zZWNyZXQ0N18xMjM0NTY3ODkw";
        for with in ["", " ", ", ", "-", "\n", "%20", "' + '"] {
            for every in [4, 8, 11, 40] {
                let pieces: Vec<_> = secret.as_bytes().chunks(every).collect();
                let pieces = pieces.iter().map(|it| std::str::from_utf8(it).unwrap());
                let text = format!("who sends {}?", pieces.collect::<Vec<_>>().join(with));
                // Digits in between make other pieces of it, none of them long.
                if with == "%20" && every < 8 {
                    continue;
                }
                let line = without(&text, &["another-secret", secret]);
                for window in secret.as_bytes().windows(8) {
                    let piece = std::str::from_utf8(window).unwrap();
                    assert!(
                        !line.replace(with, "").contains(piece),
                        "{with:?} {every}: {line}"
                    );
                }
                assert!(line.starts_with("who sends [removed]"), "{line}");
            }
        }
        assert_eq!(
            without("nothing of it is said", &[secret, ""]),
            "nothing of it is said"
        );
        assert_eq!(without("größe ß", &[secret]), "größe ß");
    }

    #[test]
    fn words_that_only_come_near_a_token_stay() {
        for text in [
            "the signing key JSON web key set has no key Json like that",
            "they Just say so. They Join",
            "a keyJ is no token",
        ] {
            assert_eq!(safe_line(text), text);
        }
        assert_eq!(
            safe_line(&format!("assertion {TOKEN} is not within its time range")),
            "assertion [removed] is not within its time range"
        );
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
