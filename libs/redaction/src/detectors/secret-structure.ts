/** Credentials that are known by their form: private keys in PEM, JSON web tokens, passwords within URLs, Slack and Teams webhooks, HTTP authorization. */
import { AT, DASHES, HOOK, JWT, SCHEME, SPACE } from '../text/chars.js';
import type { Span } from '../types.js';
import { isVariable } from '../fields/harmless.js';
import type { Detector, Sample } from './detector.js';
import { isFake } from './entropy.js';

const PEM_BEGIN = /-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----/g;
const JWT_CLOSED = /(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,8192}\.(?:eyJ[A-Za-z0-9_-]{4,16384})?\.[A-Za-z0-9_-]{0,2048}/g;
const JWT_OPEN = /(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,8192}\.eyJ[A-Za-z0-9_-]{4,16384}/g;
const WEBHOOK =
  /https:\/\/(?:hooks\.slack\.com\/(?:services|workflows|triggers)\/[\w/-]{8,120}|discord(?:app)?\.com\/api\/webhooks\/\d{10,24}\/[\w-]{20,120}|[\w-]{1,60}\.webhook\.office\.com\/[\w/@-]{20,300})/g;
const BEARER =
  /\b(?:Bearer|Basic|Token|token|bearer|basic|Digest|ApiKey)[ \t]{1,4}([A-Za-z0-9\-._~+/]{16,4096}={0,2})/g;
/** What a command line gives away: `curl -u name:password`, `--token …`. */
const COMMAND_LINE =
  /(?<=^|\s)(?:(?:-u|--user|--proxy-user)[ =]["']?[^\s:"'@/]{1,64}:|--(?:[a-z]{1,12}-){0,2}(?:password|passwd|token|secret|api-?key|access-?key|secret-?key)[ =]["']?)([^\s"'$<{]{4,256})/g;
const SCHEME_END = '://';

export const secretStructure: Detector = {
  name: 'secret_structure',
  type: 'SECRET',
  strong: true,
  detect(sample: Sample): Span[] {
    const { text, traits } = sample;
    const spans: Span[] = [];
    const add = (start: number, end: number, kind: string): void => {
      if (end > start) spans.push({ start, end, type: 'SECRET', detector: `secret_structure.${kind}` });
    };
    if ((traits.has & DASHES) !== 0 && text.includes('-----BEGIN')) privateKeys(text, add);
    if ((traits.has & JWT) !== 0) {
      for (const match of text.matchAll(JWT_CLOSED)) add(match.index, match.index + match[0].length, 'jwt');
      for (const match of text.matchAll(JWT_OPEN)) add(match.index, match.index + match[0].length, 'jwt');
    }
    if ((traits.has & SCHEME) !== 0) {
      if ((traits.has & AT) !== 0) urlCredentials(text, add);
      if ((traits.has & HOOK) !== 0)
        for (const match of text.matchAll(WEBHOOK)) add(match.index, match.index + match[0].length, 'webhook');
    }
    if ((traits.has & SPACE) !== 0 && text.includes(' -')) {
      for (const match of text.matchAll(COMMAND_LINE)) {
        const end = match.index + match[0].length;
        if (isGivenAway(match[1]!)) add(end - match[1]!.length, end, 'command_line');
      }
    }
    if ((traits.has & SPACE) !== 0 && traits.longestRun >= 8) {
      for (const match of text.matchAll(BEARER)) {
        const token = match[1]!;
        const basic = /^basic/i.test(match[0]) && Buffer.from(token, 'base64').toString('latin1').includes(':');
        if (!basic && (!/\d/.test(token) || !/[A-Za-z]/.test(token) || /^[a-z]+(?:[-./][a-z]+)+$/.test(token)))
          continue;
        add(match.index + match[0].length - token.length, match.index + match[0].length, 'authorization');
      }
    }
    return spans;
  },
};

function isGivenAway(value: string): boolean {
  return (
    /[\d\W_]/.test(value) &&
    /[^\d]/.test(value) &&
    !/^[[(]|[>)\]]$/.test(value) &&
    !isVariable(value) &&
    !isFake(value, false)
  );
}

type Add = (start: number, end: number, kind: string) => void;

/** From BEGIN to END, or to the end of the text where the key was cut off. */
function privateKeys(text: string, add: Add): void {
  let done = 0;
  for (const match of text.matchAll(PEM_BEGIN)) {
    if (match.index < done) continue;
    const body = match.index + match[0].length;
    const close = text.indexOf('-----END', body);
    let end = close === -1 ? text.length : text.indexOf('-----', close + 8);
    end = close === -1 ? end : end === -1 ? text.length : end + 5;
    done = end;
    const inner = close === -1 ? text.slice(body, body + 64) : text.slice(body, Math.min(close, body + 256));
    if (/[A-Za-z0-9+/]{16}/.test(inner)) add(match.index, end, 'private_key');
  }
}

/** `scheme://user:password@host`: user and password go, the host stays. */
function urlCredentials(text: string, add: Add): void {
  for (let at = text.indexOf(SCHEME_END); at !== -1; at = text.indexOf(SCHEME_END, at + 3)) {
    const start = at + 3;
    let colon = -1;
    let end = -1;
    for (let i = start; i < text.length && i - start < 1024; i++) {
      const char = text[i]!;
      if (char === '@') end = i;
      else if (char === ':' && colon === -1) colon = i;
      // A password may have been left unescaped; a port is none.
      else if ((char === '?' || char === '#') && colon !== -1 && !/^\d+$/.test(text.slice(colon + 1, i))) continue;
      else if (
        char === '/' ||
        char === '?' ||
        char === '#' ||
        char === ' ' ||
        char === '"' ||
        char === "'" ||
        char === '\n'
      )
        break;
      else if (char === '<' || char === '>' || char === '`') break;
    }
    if (end === -1) continue;
    const password = colon === -1 || colon > end ? text.slice(start, end) : text.slice(colon + 1, end);
    if (password === '' || isVariable(password) || /^[*x]+$|^\{.*\}$/i.test(password)) continue;
    // Without a colon it is a user name, unless it is as long as a token.
    if ((colon === -1 || colon > end) && password.length < 16) continue;
    add(start, end, 'url_credentials');
  }
}
