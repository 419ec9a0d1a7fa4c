/** Whether a value is of the type that its field's name promises. `email: "read"` is a permission, `full_name: "acme/web"` a repository. */
import type { EntityType } from '../types.js';
import { isHarmless } from './harmless.js';

export function valueFits(type: EntityType, value: string): boolean {
  if (isHarmless(value)) return type === 'SECRET' && /^\d+$/.test(value.trim());
  switch (type) {
    case 'PERSON':
      return /\p{L}/u.test(value) && !/[/:@]|^\$/.test(value) && value.length <= 200;
    case 'PHONE':
      return count(value) >= 5;
    case 'ADDRESS':
      return /\p{L}/u.test(value) && /\s/.test(value.trim()) && !/^[a-z]+:\/\//i.test(value);
    case 'ZIP':
      return count(value) >= 3 && value.length <= 12;
    case 'IP':
      return (
        /[.:]/.test(value) &&
        /^[\s0-9a-fA-F.:,%/[\]]{3,200}$/.test(value) &&
        !/^\s*(?:127\.|0\.0\.0\.0|::1?\s*$)/.test(value)
      );
    case 'MAC':
      return /^[0-9a-fA-F:.-]{11,23}$/.test(value.trim());
    case 'DOB':
    case 'NATIONAL_ID':
      return count(value) >= 4;
    case 'CREDIT_CARD':
      return count(value) >= 4;
    case 'IBAN':
    case 'ACCOUNT':
      return /[0-9A-Z]{5}/i.test(value.replace(/[ .-]/g, ''));
    default:
      return true;
  }
}

function count(value: string): number {
  return value.replace(/\D/g, '').length;
}

/** A number under a field name: fields of counts are named like fields of secrets (`tokens: 512`). */
export function numberFits(type: EntityType, field: string): boolean {
  if (type === 'SECRET') return /(?:^|-)(?:pin|cvv|cvc|otp|totp|passcode|password|passwd|pwd)$/.test(field);
  return type === 'PHONE' || type === 'CREDIT_CARD' || type === 'ACCOUNT' || type === 'NATIONAL_ID' || type === 'ZIP';
}

/** Two to five words that begin with capital letters: a value that reads like a name, where a name would make sense. */
export function readsLikeAName(value: string): boolean {
  return /^\p{Lu}[\p{L}'’.-]{0,30}(?: (?:\p{Lu}[\p{L}'’.-]{0,30}|van|von|de|der|den|da|di|bin|al|le|la)){1,4}(?: <[^<>]{3,100}>)?$/u.test(
    value,
  );
}
