/** The notifications file: which Backstage a tenant has, how much may be sent, and what may leave. One YAML file, read once at start-up. */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import {
  ConfigError,
  SecretReader,
  YamlFile,
  httpUrl,
  record,
  secretRef,
  shapeOf,
  type SecretRef,
} from '@callboard/config';
import type { BackstageTarget } from './backstage.js';
import { LEVELS, type BudgetRule, type Level } from './budgets/budget-rules.js';
import type { CleaningPolicy } from './cleaner.js';
import type { NotifierConfig } from './config.js';
import { SEVERITIES, type Severity } from './notification.js';

export interface NotificationSettings {
  /** The Backstage of a tenant; undefined for one that has none. */
  backstageOf(tenantId: string): BackstageTarget | undefined;
  cleaning: CleaningPolicy;
  broadcast: { allow: boolean; approval: 'always' | 'never' };
  /** The highest severity that a client may use. */
  highestSeverity(userId: string): Severity;
  budgets: readonly BudgetRule[];
}

/** What is wrong with the notifications file. */
export class NotificationsError extends Error {
  override readonly name = 'NotificationsError';
}

/** What a budget may count at most: a counter is one message, and holds a time for each. */
const MOST_COUNTED = 10_000;
const UNITS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Where the file names no budgets. */
export const DEFAULT_BUDGETS: readonly BudgetRule[] = [
  { level: 'tenant', max: 1_000 },
  { level: 'client', max: 100 },
  { level: 'client', max: 5, severity: ['critical'] },
  { level: 'recipient', max: 30 },
].map((rule) => budget({ ...rule, per: '1h', level: rule.level as Level }));

interface WrittenBackstage {
  url: string;
  token: SecretRef;
}
interface WrittenBudget {
  name?: string;
  level: Level;
  max: number;
  per: string;
  severity?: string[];
  broadcast?: boolean;
  only?: string[];
  exceeded?: BudgetRule['exceeded'];
}
interface Written {
  backstage?: WrittenBackstage;
  tenants: Record<string, { backstage: WrittenBackstage }>;
  redaction: { secrets: CleaningPolicy['secrets']; personal_data: CleaningPolicy['personalData'] };
  broadcast: { allow: boolean; approval: 'always' | 'never' };
  severity: { highest: Severity; clients: Record<string, Severity> };
  budgets?: WrittenBudget[];
}

const backstage = record({ url: httpUrl, token: secretRef }, ['url', 'token']);
const severity = { enum: [...SEVERITIES] };
const FILE = shapeOf<Written>(
  record({
    backstage,
    tenants: { type: 'object', default: {}, additionalProperties: record({ backstage }, ['backstage']) },
    redaction: {
      ...record({
        secrets: { enum: ['cut', 'refuse'], default: 'cut' },
        personal_data: { enum: ['keep', 'cut'], default: 'keep' },
      }),
      default: {},
    },
    broadcast: {
      ...record({
        allow: { type: 'boolean', default: false },
        approval: { enum: ['always', 'never'], default: 'always' },
      }),
      default: {},
    },
    severity: {
      ...record({
        highest: { ...severity, default: 'critical' },
        clients: { type: 'object', default: {}, additionalProperties: severity },
      }),
      default: {},
    },
    budgets: {
      type: 'array',
      maxItems: 64,
      items: record(
        {
          name: { type: 'string', pattern: '^[A-Za-z0-9_.-]{1,64}$' },
          level: { enum: [...LEVELS] },
          max: { type: 'integer', minimum: 0, maximum: MOST_COUNTED },
          per: { type: 'string', pattern: '^[1-9][0-9]{0,4}[smhd]$' },
          severity: { type: 'array', items: severity, minItems: 1 },
          broadcast: { type: 'boolean' },
          only: { type: 'array', items: { type: 'string', minLength: 1 }, minItems: 1, maxItems: 1_000 },
          exceeded: { enum: ['refuse', 'digest'] },
        },
        ['level', 'max', 'per'],
      ),
    },
  }),
);

/** @throws NotificationsError, or ConfigError when there is no Backstage at all */
export async function readSettings(config: NotifierConfig, env: NodeJS.ProcessEnv): Promise<NotificationSettings> {
  const path = config.notificationsFile;
  if (path === undefined) return settingsOf('', 'no file', config, env);
  const text = await readFile(path, 'utf8').catch((error: Error) => {
    throw new NotificationsError(`The notifications file cannot be read: ${error.message}`);
  });
  return settingsOf(text, path, config, env);
}

export async function settingsOf(
  text: string,
  path: string,
  config: Pick<NotifierConfig, 'backstageUrl' | 'backstageTokenFile'>,
  env: NodeJS.ProcessEnv,
): Promise<NotificationSettings> {
  const yaml = YamlFile.parse(text, path, NotificationsError);
  const file = yaml.check(FILE);
  const secrets = new SecretReader(yaml, dirname(resolve(path)), env);
  const target = async ({ url, token }: WrittenBackstage, place: string[]) =>
    targetOf(url, await secrets.one([...place, 'token'], token));
  const tenants = new Map(
    await Promise.all(
      Object.entries(file.tenants).map(
        async ([tenant, { backstage }]) => [tenant, await target(backstage, ['tenants', tenant, 'backstage'])] as const,
      ),
    ),
  );
  const ofAll = file.backstage ? await target(file.backstage, ['backstage']) : targetOfEnv(config);
  if (!ofAll && tenants.size === 0) {
    throw new ConfigError([
      'CALLBOARD_BACKSTAGE_URL is not set: set it, or name a Backstage in the file of CALLBOARD_NOTIFICATIONS',
    ]);
  }
  const budgets = file.budgets?.map(budget) ?? DEFAULT_BUDGETS;
  budgets.forEach(({ name }, i) => {
    if (budgets.findIndex((other) => other.name === name) !== i) {
      throw yaml.mistake(['budgets', i], `has the name ${name} of another: give it a name of its own`);
    }
  });
  const { highest, clients } = file.severity;
  return {
    backstageOf: (tenantId) => tenants.get(tenantId) ?? ofAll,
    cleaning: { secrets: file.redaction.secrets, personalData: file.redaction.personal_data },
    broadcast: file.broadcast,
    highestSeverity: (userId) => (Object.hasOwn(clients, userId) ? clients[userId]! : highest),
    budgets,
  };
}

/** @throws ConfigError when there is a URL and no token for it */
function targetOfEnv({
  backstageUrl,
  backstageTokenFile,
}: Pick<NotifierConfig, 'backstageUrl' | 'backstageTokenFile'>): BackstageTarget | undefined {
  if (!backstageUrl) return undefined;
  let token = '';
  try {
    token = readFileSync(backstageTokenFile ?? '', 'utf8').trim();
  } catch {
    // As below.
  }
  if (token !== '') return targetOf(backstageUrl, token);
  throw new ConfigError([
    'CALLBOARD_BACKSTAGE_NOTIFICATIONS_TOKEN_FILE must name a file with the token for CALLBOARD_BACKSTAGE_URL',
  ]);
}

function targetOf(url: string, token: string): BackstageTarget {
  return { url: url.replace(/\/+$/, ''), token };
}

function budget(written: WrittenBudget): BudgetRule {
  const { level, max, per, severity = [], broadcast = false, only = [], exceeded = 'refuse' } = written;
  const kind = [level, ...severity, ...(broadcast ? ['broadcast'] : [])].join('-');
  const perMs = Number(per.slice(0, -1)) * UNITS[per.slice(-1) as keyof typeof UNITS];
  return { name: written.name ?? `${kind}-per-${per}`, level, max, perMs, severity, broadcast, only, exceeded };
}
