/** What front ends say of their tenants, in their metrics. */
import { Failure } from './failure.js';

export interface TenantUse {
  /** Is it one that the quotas file names? */
  own: boolean;
  /** By the name of the limit; of each front end, or of all together. */
  quota: Record<string, number>;
  /** Commands that have not ended, at all front ends. */
  open: number;
  /** At all front ends, since each started; by the name of the limit. */
  refused: Record<string, number>;
}

/** Under which front ends show what holds for all tenants that the quotas file does not name. */
export const OTHERS = '%others';

const TIMEOUT_MS = 5_000;

/** @throws Failure when a front end does not answer: figures of some would look like those of all */
export async function readTenants(urls: readonly string[]): Promise<Map<string, TenantUse>> {
  return tenantsIn(await Promise.all(urls.map(read)));
}

export function tenantsIn(texts: readonly string[]): Map<string, TenantUse> {
  const tenants = new Map<string, TenantUse>();
  const of = (tenant: string) => {
    let use = tenants.get(tenant);
    if (!use) tenants.set(tenant, (use = { own: false, quota: {}, open: 0, refused: {} }));
    return use;
  };
  for (const { name, tenant, limit, value } of texts.flatMap((text) => [...samplesOf(text)])) {
    const use = of(tenant);
    if (name === 'quota') {
      use.quota[limit] = value;
      use.own = tenant !== OTHERS;
    } else if (name === 'commands_open') use.open += value;
    else use.refused[limit] = (use.refused[limit] ?? 0) + value;
  }
  const others = of(OTHERS).quota;
  for (const use of tenants.values()) if (Object.keys(use.quota).length === 0) use.quota = others;
  return tenants;
}

const SAMPLE = /^callboard_tenant_(quota|commands_open|refusals_total)\{(.*)\} (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

function* samplesOf(text: string): Iterable<{ name: string; tenant: string; limit: string; value: number }> {
  for (const line of text.split('\n')) {
    const [, name, labels = '', value] = SAMPLE.exec(line) ?? [];
    if (name === undefined) continue;
    const read = new Map([...labels.matchAll(LABEL)].map(([, label, held]) => [label, plain(held!)]));
    yield { name, tenant: read.get('tenant') ?? '', limit: read.get('limit') ?? '', value: Number(value) };
  }
}

/** The exposition format escapes three characters. */
function plain(written: string): string {
  return written.replace(/\\(.)/g, (_, character: string) => (character === 'n' ? '\n' : character));
}

async function read(url: string): Promise<string> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (response.ok) return await response.text();
  } catch {
    // Said below.
  }
  throw new Failure(`${url} does not answer: what tenants use is known only when every front end does`);
}
