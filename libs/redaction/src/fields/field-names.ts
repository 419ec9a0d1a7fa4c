/**
 * What the name of a field says about its value. Names are split into words (`billingEmail`, `billing_email` and `BILLING-EMAIL` are the
 * same), and looked up whole, by their last two words and by their last word.
 */
import type { EntityType } from '../types.js';

const BY_NAME: Record<string, string> = {
  EMAIL: 'email mail e-mail email-address mail-address email-addr emailaddress recipient-email reply-to',
  PERSON:
    'display-name first-name last-name full-name fullname firstname lastname displayname given-name family-name surname middle-name maiden-name real-name ' +
    'legal-name preferred-name contact-name customer-name patient-name employee-name author-name committer-name owner-name person-name ' +
    'cardholder card-holder cardholder-name account-holder reported-by-name nickname nachname vorname prenom apellido nombre-completo ' +
    'username-full assignee-name reviewer-name requester-name sender-name recipient-name salutation-name mothers-maiden-name beneficiary',
  PHONE:
    'phone phone-number phonenumber telephone telephone-number mobile mobile-number mobile-phone cell cell-phone fax fax-number tel msisdn contact-number ' +
    'whatsapp home-phone work-phone telefon telefono handy',
  ADDRESS:
    'address street street-address address-line address-line1 address-line2 address1 address2 postal-address home-address billing-address shipping-address ' +
    'mailing-address delivery-address residence residential-address street-name street-line house-number strasse calle adresse direccion addr1 addr2',
  ZIP: 'zip zip-code zipcode postal-code postcode plz',
  IP:
    'ip ip-address ipaddress ip-addr client-ip remote-ip source-ip src-ip dst-ip user-ip peer-ip last-login-ip remote-addr remote-address client-address ' +
    'forwarded-for x-forwarded-for real-ip x-real-ip actor-ip source-ip-address ipv4 ipv6',
  MAC: 'mac mac-address macaddress hw-address',
  DOB: 'dob date-of-birth dateofbirth birth-date birthdate birthday birth-day',
  NATIONAL_ID:
    'ssn social-security social-security-number national-id national-insurance national-insurance-number nino nhs-number passport passport-number passport-no ' +
    'tax-id taxid tin drivers-license driver-license driving-license license-number drivers-license-number dni nie cpf pesel bsn curp aadhaar ' +
    'identity-number id-number personnummer steuer-id codice-fiscale',
  CREDIT_CARD:
    'card-number cardnumber credit-card credit-card-number creditcard cc-number pan debit-card payment-card card-no',
  IBAN: 'iban',
  ACCOUNT:
    'account-number aws-account-id bank-account bank-account-number routing-number sort-code swift bic aba account-no',
  SECRET:
    'password passwd pwd passphrase pass passcode pin cvv cvc secret secrets token tokens api-key apikey access-key accesskey secret-key secretkey private-key privatekey ' +
    'client-secret app-secret auth-token authtoken access-token accesstoken refresh-token id-token bearer bearer-token session-token session-id sessionid session ' +
    'authorization proxy-authorization x-api-key cookie set-cookie credential credentials connection-string connectionstring dsn database-url signing-key ' +
    'signing-secret encryption-key master-key webhook-secret webhook-url routing-key integration-key service-key account-key storage-key shared-access-key ssh-key ' +
    'deploy-token otp totp one-time-password recovery-code backup-code mfa-code hmac-key kubeconfig dockerconfigjson htpasswd auth x-auth-token ' +
    'azure-client-id azure-tenant-id ad-tenant-id ad-client-id x-gitlab-token hub-signature x-hub-signature csrf-token xsrf-token sas-token license-key',
};

const RULES = new Map<string, EntityType>(
  Object.entries(BY_NAME).flatMap(([type, names]) =>
    names.split(' ').map((name): [string, EntityType] => [name, type as EntityType]),
  ),
);

/** Fields of a person: below them, `name` is a person's name. */
const PERSON_PARENTS = new Set(
  (
    'author committer pusher tagger person people customer contact patient employee member user owner-user assignee assignees reviewer reviewers reporter ' +
    'requester requestor approver creator actor sender recipient participant participants attendee attendees manager maintainer maintainers profile ' +
    'invitee subscriber client guest beneficiary holder driver passenger doctor student teacher tenant-user on-call oncall responder assigned-to created-by ' +
    'updated-by requested-by triggered-by submitted-by user-identity users members authors contacts employees customers'
  ).split(' '),
);
/** Fields whose string value is a person when it reads like a name (two words, or an address behind it). */
const PERSON_FIELDS = new Set(
  (
    'author committer reporter assignee reviewer requester creator requested-by created-by updated-by reported-by approved-by assigned-to submitted-by triggered-by ' +
    'owner-name contact manager maintainer from to cc bcc sender recipient customer employee signatory attn attention'
  ).split(' '),
);

/** Fields that hold identifiers, states, versions, times: what they hold is of a form, and only what is right by structure is cut there. */
const SAFE = new Set(
  (
    'id ids uid uuid guid sha oid etag digest md5 sha1 sha256 sha512 hash checksum version versions revision ref refs before after timestamp time date color action ' +
    'state status conclusion visibility event topic kind type api-version resource-version traceparent tracestate severity ecosystem size number head-branch ' +
    'default-branch master-branch base-branch branch tag tag-name mergeable-state author-association content-type target-commitish spdx-id namespace ' +
    'generation level count entity-ref entityref login slug specversion datacontenttype dataschema ordering-key correlation-id language node-id build ' +
    'commit parents tree url uri href key-id fingerprint cve-id ghsa-id media-type mime-type locale timezone time-zone'
  ).split(' '),
);
const SAFE_LAST = new Set('id ids uuid sha oid at ref url hash digest version type count size status state'.split(' '));

export interface FieldMeaning {
  type?: EntityType;
  /** The value is a person's name when it reads like one. */
  maybePerson: boolean;
  safe: boolean;
  personParent: boolean;
  /** The words of the name, joined: `billing-email`. */
  normal: string;
  /** The name itself holds nothing that a detector finds. */
  plain: boolean;
}

const remembered = new Map<string, FieldMeaning>();
const MOST_REMEMBERED = 4096;
const LONGEST_NAME = 64;

export function meaningOf(field: string): FieldMeaning {
  const known = remembered.get(field);
  if (known !== undefined) return known;
  const meaning = readName(field);
  if (field.length <= LONGEST_NAME && remembered.size < MOST_REMEMBERED) remembered.set(field, meaning);
  return meaning;
}

const NOTHING: FieldMeaning = { maybePerson: false, safe: false, personParent: false, normal: '', plain: false };
// No longer: a name of letters alone may be a credential whose random part happens to have no digit.
const PLAIN = /^[A-Za-z_$][A-Za-z_$-]{0,23}$/;

function readName(field: string): FieldMeaning {
  if (field.length > LONGEST_NAME || field.includes('[')) return NOTHING;
  const words = splitName(field);
  if (words.length === 0) return NOTHING;
  const normal = words.join('-');
  const last = words.at(-1)!;
  const lastTwo = words.slice(-2).join('-');
  const singular = last.endsWith('s') ? last.slice(0, -1) : last;
  let type = RULES.get(normal) ?? RULES.get(lastTwo);
  // `token_type`, `password_policy` end in another word; `key` and `name` alone say nothing.
  type ??= RULES.get(last) ?? RULES.get([...words.slice(0, -1), singular].join('-')) ?? RULES.get(singular);
  const safe = type === undefined && (SAFE.has(normal) || SAFE_LAST.has(last) || SAFE.has(lastTwo));
  return {
    ...(type === undefined ? {} : { type }),
    maybePerson: PERSON_FIELDS.has(normal),
    safe,
    personParent: PERSON_PARENTS.has(normal) || PERSON_PARENTS.has(last),
    normal,
    plain: PLAIN.test(field),
  };
}

function splitName(field: string): string[] {
  return field
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .replace(/([A-Z])([A-Z][a-z])/g, '$1-$2')
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== '');
}
