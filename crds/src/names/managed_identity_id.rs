use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use icu_properties::props::{EnumeratedProperty as _, GeneralCategory};
use thiserror::Error;

use super::client_id::parse_guid;
use super::text::impl_name;

/// The bounds of names in characters. Source: Microsoft, "Naming rules and restrictions for Azure resources".
const MAX_RESOURCE_GROUP_CHARS: usize = 90;
const MIN_NAME_CHARS: usize = 3;
const MAX_NAME_CHARS: usize = 128;

/// What stands between the names in the id of a user-assigned managed identity.
const FORM: [&str; 8] = [
    "subscriptions",
    "",
    "resourceGroups",
    "",
    "providers",
    "Microsoft.ManagedIdentity",
    "userAssignedIdentities",
    "",
];

/// The Azure resource id of a user-assigned managed identity.
///
/// Shown in the canonical spelling, with the names as they were given. Azure itself spells ids differently from answer to
/// answer, so two ids are equal that differ only in pairs of one small and one capital letter: `RG-GRÖßE` is `rg-größe`. `rg-GRÖSSE` is
/// another group, which Azure may have beside it.
#[derive(Clone, Debug)]
pub struct ManagedIdentityId {
    subscription_id: String,
    resource_group: String,
    name: String,
    id: String,
    key: String,
}

/// Why a text is no id of a user-assigned managed identity.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidManagedIdentityId {
    /// The text does not have the segments of such an id.
    #[error(
        "the resource id is not of the form /subscriptions/<subscription>/resourceGroups/<group>/providers/Microsoft.ManagedIdentity/userAssignedIdentities/<name>; `az identity show --query id` prints it"
    )]
    Form,
    /// The subscription is not a GUID.
    #[error("the subscription id is not a GUID of the form 00000000-0000-0000-0000-000000000000")]
    Subscription,
    /// Azure wants 1 to 90 characters.
    #[error(
        "the resource group name has {0} characters; Azure accepts 1 to {MAX_RESOURCE_GROUP_CHARS}"
    )]
    ResourceGroupLength(usize),
    /// A character that no resource group has.
    #[error(
        "the resource group name contains {0:?}; Azure accepts letters, digits, '_', '-', '.', '(' and ')'"
    )]
    ResourceGroupCharacter(char),
    /// Azure refuses a dot at the end.
    #[error("the resource group name must not end with '.'")]
    ResourceGroupEnd,
    /// Azure wants 3 to 128 characters.
    #[error(
        "the identity name has {0} characters; Azure accepts {MIN_NAME_CHARS} to {MAX_NAME_CHARS}"
    )]
    NameLength(usize),
    /// The first character is neither a letter nor a digit.
    #[error("the identity name must begin with a letter (a-z, A-Z) or a digit")]
    NameStart,
    /// Something else than a letter, a digit, `-` or `_`.
    #[error(
        "the identity name contains {0:?}; Azure accepts letters (a-z, A-Z), digits, '-' and '_'"
    )]
    NameCharacter(char),
}

impl ManagedIdentityId {
    /// Reads a resource id, its fixed parts in any case.
    ///
    /// # Errors
    /// For ids of other resources, and for names that Azure does not admit.
    pub fn parse(text: &str) -> Result<Self, InvalidManagedIdentityId> {
        let [subscription, group, name] = names(text).ok_or(InvalidManagedIdentityId::Form)?;
        Self::new(subscription, group, name)
    }

    /// Builds the id from its names.
    ///
    /// # Errors
    /// For names that Azure does not admit.
    pub fn new(
        subscription: &str,
        resource_group: &str,
        name: &str,
    ) -> Result<Self, InvalidManagedIdentityId> {
        parse_guid(subscription).ok_or(InvalidManagedIdentityId::Subscription)?;
        check_resource_group(resource_group)?;
        check_name(name)?;
        Ok(Self::of_names([subscription, resource_group, name]))
    }

    fn of_names([subscription, resource_group, name]: [&str; 3]) -> Self {
        let id = format!(
            "/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
        );
        Self {
            subscription_id: subscription.to_owned(),
            resource_group: resource_group.to_owned(),
            name: name.to_owned(),
            key: fold(&id),
            id,
        }
    }

    /// The subscription that holds the identity.
    pub fn subscription_id(&self) -> &str {
        &self.subscription_id
    }

    /// The resource group that holds the identity.
    pub fn resource_group(&self) -> &str {
        &self.resource_group
    }

    /// The name of the identity.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id in its canonical spelling, with the names as they were given.
    pub fn as_str(&self) -> &str {
        &self.id
    }

    /// The id in small letters, as far as each of them has a single one: the same for all spellings of one identity, and an id of it.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl_name!(ManagedIdentityId, InvalidManagedIdentityId);

impl PartialEq for ManagedIdentityId {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for ManagedIdentityId {}

impl PartialOrd for ManagedIdentityId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ManagedIdentityId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl Hash for ManagedIdentityId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// Subscription, resource group and name in a text of the form of an id.
fn names(text: &str) -> Option<[&str; 3]> {
    let segments: Vec<&str> = text
        .strip_prefix('/')?
        .splitn(FORM.len() + 1, '/')
        .collect();
    let well_formed = segments.len() == FORM.len()
        && FORM
            .iter()
            .zip(&segments)
            .all(|(form, segment)| form.is_empty() || form.eq_ignore_ascii_case(segment));
    match segments.as_slice() {
        [_, subscription, _, group, _, _, _, name] if well_formed => {
            Some([subscription, group, name])
        }
        _ => None,
    }
}

/// A text in small letters, where a small and a capital letter are a pair of single ones, neither of another alphabet than the other: a
/// letter outside of ASCII stays outside. So .NET compares with `OrdinalIgnoreCase`; that Azure does is assumed, since Microsoft
/// says only that names are compared without case.
pub(super) fn fold(text: &str) -> String {
    // Nearly every id, and each is folded whenever it is read.
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let letters = text.chars().map(capital);
    letters.map(small).collect()
}

fn capital(letter: char) -> char {
    let is_like = |it: &char| it.is_ascii() == letter.is_ascii();
    single(letter.to_uppercase())
        .filter(is_like)
        .unwrap_or(letter)
}

/// The small letter whose capital one this is.
fn small(letter: char) -> char {
    let is_of = |it: &char| capital(*it) == letter;
    single(letter.to_lowercase())
        .filter(is_of)
        .unwrap_or(letter)
}

fn single(mut letters: impl Iterator<Item = char>) -> Option<char> {
    let first = letters.next();
    first.filter(|_| letters.next().is_none())
}

pub(super) fn check_resource_group(group: &str) -> Result<(), InvalidManagedIdentityId> {
    let chars = group.chars().count();
    if !(1..=MAX_RESOURCE_GROUP_CHARS).contains(&chars) {
        return Err(InvalidManagedIdentityId::ResourceGroupLength(chars));
    }
    if let Some(character) = group.chars().find(|c| !is_of_resource_group(*c)) {
        return Err(InvalidManagedIdentityId::ResourceGroupCharacter(character));
    }
    if group.ends_with('.') {
        return Err(InvalidManagedIdentityId::ResourceGroupEnd);
    }
    Ok(())
}

/// `_`, `-`, `.`, `(`, `)`, and letters and decimal digits of any alphabet.
///
/// Source: Microsoft, "Naming rules and restrictions for Azure resources": letters and digits as `Char.IsLetterOrDigit`
/// defines them, which is by the general categories Lu, Ll, Lt, Lm, Lo and Nd.
fn is_of_resource_group(character: char) -> bool {
    use GeneralCategory::{
        DecimalNumber, LowercaseLetter, ModifierLetter, OtherLetter, TitlecaseLetter,
        UppercaseLetter,
    };
    let is_letter_or_digit = matches!(
        GeneralCategory::for_char(character),
        UppercaseLetter
            | LowercaseLetter
            | TitlecaseLetter
            | ModifierLetter
            | OtherLetter
            | DecimalNumber
    );
    is_letter_or_digit || matches!(character, '_' | '-' | '.' | '(' | ')')
}

fn check_name(name: &str) -> Result<(), InvalidManagedIdentityId> {
    let chars = name.chars().count();
    if !(MIN_NAME_CHARS..=MAX_NAME_CHARS).contains(&chars) {
        return Err(InvalidManagedIdentityId::NameLength(chars));
    }
    if let Some(character) = name
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
    {
        return Err(InvalidManagedIdentityId::NameCharacter(character));
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(InvalidManagedIdentityId::NameStart);
    }
    Ok(())
}
