/**
 * An entry of the ledger as an event of the Open Cybersecurity Schema Framework, class API Activity (6003), for whatever collects security events.
 * What that class has no place for is in `unmapped`.
 */
import type { OpenedEntry } from './ledger-entry.js';
import type { AuditKind } from './fact.js';

const OCSF_VERSION = '1.4.0';
const API_ACTIVITY = 6003;
const APPLICATION_ACTIVITY = 6;

const CREATE = 1;
const READ = 2;
const UPDATE = 3;
const DELETE = 4;
const OTHER = 99;

const ACTIVITIES: Partial<Record<AuditKind, number>> = {
  session: CREATE,
  list: READ,
  call: CREATE,
  read: READ,
  subscription: UPDATE,
  delivery: READ,
  event: CREATE,
  notification: CREATE,
  configuration: UPDATE,
};
const ACTIVITY_NAMES = new Map([
  [CREATE, 'Create'],
  [READ, 'Read'],
  [UPDATE, 'Update'],
  [DELETE, 'Delete'],
  [OTHER, 'Other'],
]);
const DELETES = new Set(['erase', 'discard', 'ended', 'unsubscribed', 'unschedule']);

const SUCCESS = 1;
const FAILURE = 2;
const INFORMATIONAL = 1;
const MEDIUM = 3;
/** What a person may want to look at. */
const SUSPICIOUS = new Set<AuditKind>(['denial', 'authentication', 'malformed']);

export function toOcsf(entry: OpenedEntry): Record<string, unknown> {
  const { personal, kind, what, code } = entry;
  const activity = DELETES.has(what) && kind !== 'attempt' ? DELETE : (ACTIVITIES[kind] ?? OTHER);
  const failed = code !== undefined;
  return {
    class_uid: API_ACTIVITY,
    class_name: 'API Activity',
    category_uid: APPLICATION_ACTIVITY,
    category_name: 'Application Activity',
    activity_id: activity,
    activity_name: ACTIVITY_NAMES.get(activity),
    type_uid: API_ACTIVITY * 100 + activity,
    time: Date.parse(entry.at),
    severity_id: SUSPICIOUS.has(kind) ? MEDIUM : INFORMATIONAL,
    status_id: failed ? FAILURE : SUCCESS,
    status: failed ? 'Failure' : 'Success',
    ...(failed && { status_code: code }),
    metadata: {
      version: OCSF_VERSION,
      uid: entry.id,
      sequence: entry.position,
      tenant_uid: entry.tenant_id,
      log_name: 'callboard audit ledger',
      product: { name: 'Callboard', vendor_name: 'Callboard', feature: { name: entry.app } },
      ...(entry.correlation_id !== undefined && { correlation_uid: entry.correlation_id }),
    },
    actor: {
      user: {
        uid: personal?.user_id ?? entry.actor ?? 'unknown',
        ...(personal?.groups && { groups: personal.groups.map((name) => ({ name })) }),
      },
      ...(personal?.client_id !== undefined && { app_uid: personal.client_id }),
    },
    api: {
      operation: `${kind}.${what}`,
      service: { name: entry.app, uid: entry.instance },
      ...(entry.correlation_id !== undefined && { request: { uid: entry.correlation_id } }),
      ...(failed && { response: { error: code } }),
    },
    src_endpoint: personal?.address === undefined ? { name: 'unknown' } : { ip: personal.address },
    ...(entry.action !== undefined && { resources: [{ name: entry.action, type: 'action' }] }),
    unmapped: {
      kind,
      what,
      stream_sequence: entry.stream_sequence,
      hash: entry.hash,
      previous: entry.previous,
      ...(entry.actor !== undefined && { actor: entry.actor }),
      ...(entry.details && { details: entry.details }),
      ...(entry.arguments_digest !== undefined && { arguments_digest: entry.arguments_digest }),
      ...(personal?.arguments !== undefined && { arguments: personal.arguments }),
      ...(personal?.target !== undefined && { target: personal.target }),
    },
  };
}
