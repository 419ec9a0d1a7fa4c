/**
 * The sources: from whom events are taken, on whose behalf, and how each proves that it is who it says. One YAML file, read once at start-up.
 *
 * Secrets are not written into the file. `{ env: NAME }` or `{ file: PATH }` says where one is; one that is not there is a mistake like any
 * other. Where a list of them is given, each is good: so that a new one can be put beside an old one before the sender changes.
 */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { SecretReader, YamlFile, httpUrl, record, secretRef, shapeOf, type SecretRef } from '@callboard/config';
import { SOURCE_NAME, TOPIC } from '@callboard/events';

interface SourceBase {
  name: string;
  tenantId: string;
}

/** A source that sends, to us. */
interface SenderBase extends SourceBase {
  /** Topics that it may send; `*` at the end stands for any text. */
  topics: readonly string[];
  /** JSON pointers into the data; the first that leads to text or a number is the ordering key. */
  key: readonly string[];
}

export interface CloudEventsSource extends SenderBase {
  type: 'cloudevents';
  /** Bearer tokens. */
  tokens: readonly string[];
  /** Whose tokens are good beside, of those that the access file knows; absent when nobody's are. */
  access?: SourceAccess;
}

export interface SourceAccess {
  /** What a token must be good for. */
  scopes: readonly string[];
  /** Who may send, `*` for any text; absent when everybody may whose token has these scopes. */
  users?: readonly string[];
}

export interface WebhookSource extends SenderBase {
  type: 'webhook';
  scheme: 'github' | 'standard-webhooks';
  /** As HMAC takes them. */
  secrets: readonly Uint8Array[];
  /** How far a signed time may be from now. GitHub signs none. */
  maxAgeMs: number;
}

/** The events bus of a Backstage backend, which is asked for its events. */
export interface BackstageBusSource extends SourceBase {
  type: 'backstage_bus';
  /** Of the events plug-in's API: `https://backstage.example.com/api/events`. */
  baseUrl: string;
  /** An external-access token. */
  token: string;
  topics: readonly string[];
  subscriptionId: string;
}

export type SenderSource = CloudEventsSource | WebhookSource;
export type Source = SenderSource | BackstageBusSource;

/** What is wrong with the sources file. */
export class SourcesError extends Error {
  override readonly name = 'SourcesError';
}

interface WrittenBase {
  name: string;
  tenant: string;
}
interface WrittenSender extends WrittenBase {
  topics: string[];
  key: string | string[];
}
interface WrittenCloudEvents extends WrittenSender {
  token?: SecretRef | SecretRef[];
  access?: { scopes: string[]; users?: string[] };
}
interface WrittenWebhook extends WrittenSender {
  scheme: WebhookSource['scheme'];
  secret: SecretRef | SecretRef[];
  max_age_s?: number;
}
interface WrittenBus extends WrittenBase {
  base_url: string;
  token: SecretRef;
  topics: string[];
  subscription_id: string;
}

const text = { type: 'string', minLength: 1 };
const secrets = {
  if: { type: 'array' },
  then: { type: 'array', items: secretRef, minItems: 1, maxItems: 8 },
  else: secretRef,
};
const pointer = { type: 'string', pattern: '^(/[^/]*)+$', maxLength: 256 };
const base = {
  name: { type: 'string', pattern: SOURCE_NAME.source },
  tenant: { ...text, maxLength: 128, default: 'default' },
};
const sender = {
  ...base,
  topics: { type: 'array', items: { type: 'string', pattern: '^[^*]{0,128}\\*?$', minLength: 1 }, default: ['*'] },
  key: { if: { type: 'array' }, then: { type: 'array', items: pointer, maxItems: 8 }, else: pointer, default: [] },
};
/** As RFC 6749 has it. */
const scope = { type: 'string', pattern: '^[!#-[\\]-~]{1,128}$' };
const user = { type: 'string', minLength: 1, maxLength: 256 };
const access = record({
  scopes: { type: 'array', items: scope, minItems: 1, maxItems: 32, default: ['events.publish'] },
  users: { type: 'array', items: user, minItems: 1, maxItems: 256 },
});
const type = (name: Source['type']) => ({ const: name });
/** Under it the plug-in in Backstage stores its events itself. */
const PLUGIN_SOURCE = 'backstage';
/** Under it orchestrators store events of their sagas. */
const OWN_SOURCE = 'callboard';
/** A time may be off by as much as this, unless the file says otherwise; what the standard's own libraries take. */
const MAX_AGE_S = 300;

const FILE = shapeOf<{ sources: { type: Source['type'] }[] }>(
  record(
    {
      sources: {
        type: 'array',
        maxItems: 256,
        items: {
          type: 'object',
          properties: { type: { enum: ['cloudevents', 'webhook', 'backstage_bus'] satisfies Source['type'][] } },
          required: ['type'],
        },
      },
    },
    ['sources'],
  ),
);
const CLOUDEVENTS = shapeOf<WrittenCloudEvents>(
  record({ ...sender, type: type('cloudevents'), token: secrets, access }, ['name']),
);
const WEBHOOK = shapeOf<WrittenWebhook>(
  record(
    {
      ...sender,
      type: type('webhook'),
      scheme: { enum: ['github', 'standard-webhooks'] satisfies WebhookSource['scheme'][] },
      secret: secrets,
      max_age_s: { type: 'integer', minimum: 1, maximum: 86_400 },
    },
    ['name', 'scheme', 'secret'],
  ),
);
const BACKSTAGE_BUS = shapeOf<WrittenBus>(
  record(
    {
      ...base,
      type: type('backstage_bus'),
      base_url: httpUrl,
      token: secretRef,
      topics: { type: 'array', items: { type: 'string', pattern: TOPIC.source }, minItems: 1, maxItems: 256 },
      subscription_id: { type: 'string', pattern: '^[A-Za-z0-9._-]{1,128}$', default: 'callboard' },
    },
    ['name', 'base_url', 'token', 'topics'],
  ),
);

/** @throws SourcesError when the file, or what it names, cannot be used. */
export async function readSources(path: string, env: NodeJS.ProcessEnv): Promise<Source[]> {
  const content = await readFile(path, 'utf8').catch((error: Error) => {
    throw new SourcesError(`The sources file cannot be read: ${error.message}`);
  });
  return parseSources(content, path, env);
}

export async function parseSources(content: string, path: string, env: NodeJS.ProcessEnv): Promise<Source[]> {
  const yaml = YamlFile.parse(content, path, SourcesError);
  const reader = new SecretReader(yaml, dirname(resolve(path)), env);
  const reading = yaml.check(FILE).sources.map(({ type }, i): Promise<Source> => {
    const place = ['sources', i];
    switch (type) {
      case 'cloudevents':
        return cloudEventsSource(yaml.check(CLOUDEVENTS, place), yaml, reader, place);
      case 'webhook':
        return webhookSource(yaml.check(WEBHOOK, place), yaml, reader, place);
      case 'backstage_bus':
        return backstageBusSource(yaml.check(BACKSTAGE_BUS, place), reader, place);
    }
  });
  const sources = await Promise.all(reading);
  sources.forEach(({ name }, i) => {
    if (name === PLUGIN_SOURCE) {
      throw yaml.mistake(['sources', i, 'name'], "is the name of the events of Backstage's plug-in: choose another");
    }
    if (name === OWN_SOURCE) {
      throw yaml.mistake(['sources', i, 'name'], 'is the name of the events of Callboard itself: choose another');
    }
    if (sources.findIndex((other) => other.name === name) !== i) {
      throw yaml.mistake(['sources', i, 'name'], 'is the name of another source already');
    }
  });
  return sources;
}

/**
 * The sources of this process: those of the files, and `local` where there is a token for it and no file has a source of that name.
 * @throws SourcesError when a file cannot be used, or when there is no source at all.
 */
export async function openSources(
  { sources: paths, ingestToken }: { sources: string; ingestToken: string },
  env: NodeJS.ProcessEnv,
): Promise<Source[]> {
  const files = paths === '' ? [] : paths.split(',');
  const sources = (await Promise.all(files.map((path) => readSources(path.trim(), env)))).flat();
  const twice = sources.find(({ name }, i) => sources.findIndex((other) => other.name === name) !== i);
  if (twice) throw new SourcesError(`Two of the sources files have a source ${twice.name}: rename one of them`);
  if (ingestToken !== '' && !sources.some(({ name }) => name === 'local')) sources.push(localSource(ingestToken));
  if (sources.length > 0) return sources;
  throw new SourcesError('There is no source to take events from: set CALLBOARD_SOURCES or CALLBOARD_INGEST_TOKEN');
}

function localSource(token: string): CloudEventsSource {
  return { type: 'cloudevents', name: 'local', tenantId: 'default', topics: ['*'], key: [], tokens: [token] };
}

type Place = (string | number)[];

/** What a header can carry, and nobody guesses. */
const TOKEN = /^[\x21-\x7e]{16,}$/;

async function cloudEventsSource(
  written: WrittenCloudEvents,
  yaml: YamlFile,
  reader: SecretReader,
  place: Place,
): Promise<CloudEventsSource> {
  const { token, access } = written;
  if (!token && !access) throw yaml.mistake(place, 'must have a token, or access: who may send');
  const tokens = token ? await reader.all([...place, 'token'], token) : [];
  if (tokens.every((token) => TOKEN.test(token))) {
    return { type: 'cloudevents', ...senderOf(written), tokens, ...(access && { access }) };
  }
  throw yaml.mistake([...place, 'token'], 'must lead to 16 characters or more, of printable ASCII without spaces');
}

async function webhookSource(
  written: WrittenWebhook,
  yaml: YamlFile,
  reader: SecretReader,
  place: Place,
): Promise<WebhookSource> {
  const { scheme, max_age_s: maxAge } = written;
  if (maxAge !== undefined && scheme === 'github') {
    throw yaml.mistake([...place, 'max_age_s'], 'cannot be kept: GitHub signs no time; remove it');
  }
  const found = await reader.all([...place, 'secret'], written.secret);
  const secrets = found.map((value) => {
    const key = scheme === 'github' ? Buffer.from(value) : standardKey(value);
    if (key) return key;
    throw yaml.mistake([...place, 'secret'], 'must lead to "whsec_" and 24 to 64 bytes in base64');
  });
  return { type: 'webhook', ...senderOf(written), scheme, secrets, maxAgeMs: (maxAge ?? MAX_AGE_S) * 1_000 };
}

async function backstageBusSource(
  written: WrittenBus,
  reader: SecretReader,
  place: Place,
): Promise<BackstageBusSource> {
  const { name, tenant, base_url: baseUrl, token, topics, subscription_id: subscriptionId } = written;
  return {
    type: 'backstage_bus',
    name,
    tenantId: tenant,
    baseUrl: baseUrl.replace(/\/$/, ''),
    token: await reader.one([...place, 'token'], token),
    topics,
    subscriptionId,
  };
}

function senderOf({ name, tenant, topics, key }: WrittenSender): SenderBase {
  return { name, tenantId: tenant, topics, key: [key].flat() };
}

/** As the standard writes its symmetric secrets. */
function standardKey(value: string): Uint8Array | undefined {
  const base64 = value.replace(/^whsec_/, '');
  const key = Buffer.from(base64, 'base64');
  return key.toString('base64') === base64 && key.length >= 24 && key.length <= 64 ? key : undefined;
}
