/**
 * Credentials that carry the mark of who issued them. One search for all marks; at a hit, the run of characters that may follow is
 * read and judged: long enough, of the issuer's alphabet, and not the sample of a manual (`ghp_xxxxxxxx`).
 */
import { anchor, MARK } from '../text/chars.js';
import type { Span } from '../types.js';
import type { Detector, Sample } from './detector.js';
import { isFake } from './entropy.js';

/** Mark, least length of what follows it, most (0: no limit). Sorted by issuer. */
const MARKS: [mark: string, least: number, varied?: boolean][] = [
  ['ops_eyJ', 50],
  ['A3-', 30, true],
  ['sk-ant-', 60],
  ['AKCp', 60],
  ['AKIA', 16],
  ['ASIA', 16],
  ['ABIA', 16],
  ['ACCA', 16],
  ['ABSK', 100],
  ['cfat_', 30],
  ['cfut_', 30],
  ['cfk_', 30],
  ['v1.0-', 100, true],
  ['dapi', 32],
  ['dckr_pat_', 20],
  ['dckr_oat_', 20],
  ['dop_v1_', 60],
  ['doo_v1_', 60],
  ['dor_v1_', 60],
  ['dp.pt.', 30],
  ['dp.st.', 30],
  ['duffel_live_', 30],
  ['dt0c01.', 80],
  ['EZAK', 50],
  ['EZTK', 50],
  ['figd_', 30],
  ['figo_', 30],
  ['figu_', 30],
  ['fo1_', 40],
  ['FlyV1 ', 60],
  ['fm1_', 60],
  ['fm2_', 60],
  ['FLWSECK', 12],
  ['AIza', 35],
  ['GOCSPX-', 24],
  ['ya29.', 30],
  ['ghp_', 36],
  ['gho_', 36],
  ['ghu_', 36],
  ['ghs_', 36],
  ['ghr_', 36],
  ['github_pat_', 60],
  ['glpat-', 20],
  ['gldt-', 20],
  ['glft-', 20],
  ['glrt-', 20],
  ['glptt-', 40],
  ['glcbt-', 20],
  ['glsoat-', 20],
  ['gloas-', 60],
  ['glagent-', 40],
  ['glimt-', 20],
  ['GR1348941', 20, true],
  ['glc_', 30],
  ['glsa_', 40],
  ['gsk_', 50],
  ['hvs.', 80],
  ['hvb.', 100],
  ['hvr.', 80],
  ['hf_', 34],
  ['api_org_', 34],
  ['ico-', 32],
  ['key-', 32, true],
  ['lin_api_', 40],
  ['lin_oauth_', 40],
  ['live_', 32, true],
  ['lsv2_', 40],
  ['LTAI', 20],
  ['NRAK-', 27],
  ['NRJS-', 19],
  ['npm_', 36],
  ['ntn_', 46],
  ['secret_', 43, true],
  ['pplx-', 48],
  ['PMAK-', 59],
  ['pscale_pw_', 32],
  ['pscale_tkn_', 32],
  ['pscale_oauth_', 32],
  ['phc_', 40],
  ['phx_', 40],
  ['pul-', 40],
  ['pypi-AgE', 50],
  ['rdme_', 60],
  ['rubygems_', 48],
  ['sbp_', 40],
  ['sb_secret_', 20],
  ['sha256~', 43],
  ['shpat_', 32],
  ['shpss_', 32],
  ['shpca_', 32],
  ['shppa_', 32],
  ['sk_live_', 20],
  ['sk_test_', 20],
  ['rk_live_', 20],
  ['rk_test_', 20],
  ['pk_live_', 24, true],
  ['whsec_', 24],
  ['sk-proj-', 40],
  ['sk-svcacct-', 40],
  ['sk-admin-', 40],
  ['sk-or-v1-', 60],
  ['sk-', 48],
  ['SG.', 60],
  ['SK', 32, true],
  ['AC', 32, true],
  ['sgp_', 40],
  ['sq0atp-', 22],
  ['sq0csp-', 43],
  ['sq0idp-', 22],
  ['EAAA', 60],
  ['sntrys_', 60],
  ['sntryu_', 60],
  ['shippo_live_', 40],
  ['shippo_test_', 40],
  ['tfp_', 40],
  ['tskey-', 20],
  ['tk-us-', 48],
  ['vcp_', 24],
  ['vci_', 24],
  ['vca_', 24],
  ['vcr_', 24],
  ['vck_', 24],
  ['xkeysib-', 60],
  ['xoxa-', 20],
  ['xoxb-', 20],
  ['xoxo-', 20],
  ['xoxp-', 20],
  ['xoxr-', 20],
  ['xoxs-', 20],
  ['xoxe-', 60],
  ['xoxe.xox', 60],
  ['xapp-', 20],
  ['xwfp-', 20],
  ['AGE-SECRET-KEY-1', 58],
  ['nvapi-', 60],
  ['r8_', 37],
  ['tvly-', 20, true],
  ['CLOJARS_', 60],
  ['cio_', 36, true],
  ['NAPI_', 40],
  ['SUA', 55],
  ['SAA', 55],
  ['SOA', 55],
  ['patv1_', 30],
  ['ATATT3', 60],
  ['ATCTT3', 60],
  ['ATBB', 32, true],
];

/** The marks by their first character, longest first. */
const BY_FIRST: (undefined | { mark: string; least: number; varied: boolean }[])[] = [];
for (const [mark, least, varied] of [...MARKS].sort((a, b) => b[0].length - a[0].length)) {
  (BY_FIRST[mark.charCodeAt(0)] ??= []).push({ mark, least, varied: varied ?? false });
  anchor(mark, MARK);
}
/** Characters of a run that are looked at to judge it. */
const JUDGED = 128;
const TAIL = /[A-Za-z0-9_\-.~+/=]/;

export const secretPrefix: Detector = {
  name: 'secret_prefix',
  type: 'SECRET',
  strong: true,
  detect({ text, traits }: Sample): Span[] {
    if ((traits.has & MARK) === 0) return [];
    const spans: Span[] = [];
    let runEnd = 0;
    let previous = 0;
    for (let start = 0; start < text.length; start++) {
      const code = text.charCodeAt(start);
      const glued = isLetter(previous) || previous === 43 || previous === 47;
      previous = code;
      if (glued || code > 127) continue;
      const rules = BY_FIRST[code];
      if (rules === undefined) continue;
      const rule = rules.find(({ mark }) => text.startsWith(mark, start));
      if (rule === undefined) continue;
      const from = start + rule.mark.length;
      // The run is read once, however many marks are within it.
      if (runEnd < from) for (runEnd = from; runEnd < text.length && TAIL.test(text[runEnd]!);) runEnd++;
      const tail = trimTail(text.slice(from, runEnd));
      const head = tail.slice(0, JUDGED);
      // A key of a web page, as long as nothing says otherwise: fields and labels that do are read elsewhere.
      if (rule.mark === 'AIza' && isAlone(text, start, from + tail.length)) continue;
      if (/^-?[#*]{3}/.test(text.slice(from + tail.length, from + tail.length + 4))) continue;
      if (tail.length < rule.least || !fitsIssuer(rule.mark, head) || isFake(head, rule.varied)) continue;
      spans.push({ start, end: from + tail.length, type: 'SECRET', detector: 'secret_prefix' });
      start = from + tail.length - 1;
      previous = 0;
    }
    return spans;
  },
};

function isAlone(text: string, start: number, end: number): boolean {
  return text.slice(0, start).trim() === '' && text.slice(end).trim() === '';
}

function isLetter(code: number): boolean {
  return (code >= 97 && code <= 122) || (code >= 65 && code <= 90);
}

/** A full stop or an equals sign of the sentence around is not part of the token. */
function trimTail(tail: string): string {
  let end = tail.length;
  while (end > 0 && /[.~/+-]/.test(tail[end - 1]!)) end--;
  return tail.slice(0, end);
}

/** Marks that are also the beginning of ordinary words need the issuer's exact form. */
function fitsIssuer(mark: string, tail: string): boolean {
  switch (mark) {
    case 'AKIA':
    case 'ASIA':
    case 'ABIA':
    case 'ACCA':
      return /^[A-Z0-9]{16}$/.test(tail) && !tail.endsWith('EXAMPLE');
    case 'SK':
    case 'AC':
      return /^[0-9a-f]{32}$/.test(tail);
    case 'key-':
    case 'live_':
      return /^[0-9a-f]{32}$/.test(tail);
    case 'AIza':
      return /^[\w-]{35}$/.test(tail);
    case 'sk-':
      return /^[A-Za-z0-9_-]+$/.test(tail) && /\d/.test(tail);
    case 'dapi':
      return /^[0-9a-fA-F]{32}(?:-\d)?$/.test(tail);
    case 'EAAA':
    case 'A3-':
    case 'SUA':
    case 'SAA':
    case 'SOA':
      return /^[A-Z0-9-]+$/.test(tail) && /\d/.test(tail) && tail.length < 70;
    case 'ops_eyJ':
      return tail.length === JUDGED;
    case 'sha256~':
      return /^[\w-]{43}$/.test(tail);
    case 'sk-ant-':
      return /^(?:api|admin|oat|sid)\d{2}-[\w-]{80,}AA$/.test(tail);
    case 'hf_':
    case 'api_org_':
      return /^[A-Za-z]{34}$/.test(tail);
    case 'ntn_':
      return /^\d{11}[A-Za-z0-9]{35}$/.test(tail);
    case 'ico-':
      return /^[A-Za-z0-9]{32}$/.test(tail);
    case 'sgp_':
      return /^(?:local_|[0-9a-fA-F]{16}_)?[0-9a-fA-F]{40}$/.test(tail);
    case 'xoxa-':
    case 'xoxb-':
    case 'xoxo-':
    case 'xoxp-':
    case 'xoxr-':
    case 'xoxs-':
      return /^\d{9,}-/.test(tail) || /^[0-9]-[A-Za-z0-9]{20,}/.test(tail);
    case 'hvs.':
    case 'hvb.':
    case 'hvr.':
      return /^[\w-]+$/.test(tail);
    default:
      return !/\.{2}/.test(tail);
  }
}
