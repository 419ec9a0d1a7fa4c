/** What an adapter file says of a Backstage whose actions are to be ours. */
import { httpUrl, record } from '@callboard/config';
import { count, nameRules, settings, texts, type ActionSettings } from '../action-settings.js';
import type { NameRules } from '../name-rules.js';

export interface BackstageActionSettings extends ActionSettings {
  /** For an action that wants secrets beside its input; `${NAME}` is replaced. */
  secrets: Record<string, string>;
}

export interface BackstageSite extends NameRules {
  /** Name of the installation in logs and metrics. */
  name: string;
  /** Base URL of its backend. */
  url: string;
  /** With which Callboard calls where the caller has none of its own. */
  token: string;
  /** Whose token a call carries: `preferred`: the caller's where it is a user of this Backstage; `required`: and of nobody else. */
  caller_tokens: 'off' | 'preferred' | 'required';
  /** As its users' tokens name it; absent: `url` with `/api/auth`. */
  issuer?: string;
  /** Ids of the plug-ins whose actions registries are looked at. */
  plugins: string[];
  /** First part of the ids of its actions. */
  namespace: string;
  /** How long what was seen of a registry counts before it is looked at again. */
  refresh_ms: number;
  /** How long one attempt at an action may take; absent: until the deadline. */
  timeout_ms?: number;
  deadline_ms?: number;
  /** URI scheme under which catalog entities are resources; absent: they are none. */
  entities?: string;
  /** URI scheme under which pages of TechDocs are resources; absent: they are none. */
  docs?: string;
  /** What the operator decides about single actions, by Backstage's ids. */
  actions: Record<string, BackstageActionSettings>;
}

const label = { type: 'string', pattern: '^[A-Za-z0-9_-]{1,32}$' };
const scheme = { type: 'string', pattern: '^[a-z][a-z0-9+.-]*$' };

export const SITE = record(
  {
    name: label,
    url: httpUrl,
    token: { type: 'string' },
    caller_tokens: { enum: ['off', 'preferred', 'required'], default: 'preferred' },
    issuer: httpUrl,
    // Not ours, which Backstage has from us.
    plugins: {
      type: 'array',
      minItems: 1,
      uniqueItems: true,
      items: { type: 'string', pattern: '^(?!callboard$)[a-z][a-z0-9-]*$' },
    },
    namespace: label,
    ...nameRules,
    refresh_ms: { ...count(1_000), default: 60_000 },
    timeout_ms: count(100),
    deadline_ms: count(1),
    entities: scheme,
    docs: scheme,
    actions: { type: 'object', default: {}, additionalProperties: record({ ...settings, secrets: texts }) },
  },
  ['name', 'url', 'token', 'plugins'],
);
