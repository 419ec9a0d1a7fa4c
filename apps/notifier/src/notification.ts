/**
 * A notification as Backstage has it, and what Backstage can hold. Its columns are varchar(255), which SQLite does not mind and PostgreSQL
 * answers with a 500; its body parser takes 100 KiB. So all of it is checked before, with an error that names the field.
 *
 * Entity refs are made whole and lower case: Backstage stores what it is given, and a user finds only what is stored under the ref
 * of the catalog.
 */
import { ActionError } from '@callboard/actions';
import type { JsonObject } from '@callboard/envelope';
import { z } from 'zod';

/** The lowest first. */
export const SEVERITIES = ['low', 'normal', 'high', 'critical'] as const;
export type Severity = (typeof SEVERITIES)[number];

export const MOST_RECIPIENTS = 50;
/** Of the request to Backstage, in bytes; its parser takes 102,400. */
export const MOST_BODY_BYTES = 100_000;
const COLUMN_CHARS = 255;

const short = z.string().min(1).max(COLUMN_CHARS);
const entityRef = z
  .string()
  .max(COLUMN_CHARS)
  .regex(/^[A-Za-z][A-Za-z0-9]*:([A-Za-z0-9._-]+\/)?[A-Za-z0-9._-]+$/);
const entityRefs = z.union([entityRef, z.array(entityRef).min(1).max(MOST_RECIPIENTS)]);

export const notificationInput = z.object({
  title: short.describe('One line that says what it is about'),
  description: z.string().max(50_000).optional().describe('The text; plain'),
  link: z.string().min(1).max(2_000).optional().describe('http(s) URL, or a path within Backstage'),
  severity: z.enum(SEVERITIES).default('normal'),
  topic: short.optional().describe('What kind of notification it is; users can mute a topic'),
  scope: short.optional().describe('A later notification of the same scope takes the place of the earlier one'),
  icon: short.optional().describe('Name of an icon that Backstage knows'),
  metadata: z
    .record(z.string(), z.json())
    .optional()
    .describe("For Backstage's processors, such as those for Slack and e-mail"),
  recipients: z
    .discriminatedUnion('type', [
      z.object({
        type: z.literal('entity'),
        entityRef: entityRefs.describe(
          'Users, groups, or entities whose owners are meant: user:default/ada, group:default/ops',
        ),
        excludeEntityRef: entityRefs.optional(),
      }),
      z.object({ type: z.literal('broadcast') }),
    ])
    .describe('Entities of the catalog, or everybody'),
});

export type NotificationArgs = z.infer<typeof notificationInput>;

export interface NotificationPayload {
  title: string;
  description?: string;
  link?: string;
  severity: Severity;
  topic?: string;
  scope: string;
  icon?: string;
  metadata?: JsonObject;
}

export type Recipients = { type: 'entity'; entityRef: string[]; excludeEntityRef?: string[] } | { type: 'broadcast' };

/** The body of the request to Backstage. */
export interface Notification {
  recipients: Recipients;
  payload: NotificationPayload;
}

/** Whose it is. Nobody can overwrite what another has sent, though all of a tenant have one origin in Backstage. */
export interface Sender {
  tenantId: string;
  userId: string;
  correlationId: string;
}

/** @throws ActionError `invalid_arguments` */
export function readNotification(args: NotificationArgs, sender: Sender): Notification {
  const { recipients, scope, ...payload } = args;
  if (payload.link !== undefined) checkLink(payload.link);
  return {
    recipients:
      recipients.type === 'broadcast'
        ? recipients
        : {
            type: 'entity',
            entityRef: wholeRefs(recipients.entityRef),
            ...(recipients.excludeEntityRef && { excludeEntityRef: wholeRefs(recipients.excludeEntityRef) }),
          },
    payload: { ...(withoutUndefined(payload) as Omit<NotificationPayload, 'scope'>), scope: scopeOf(sender, scope) },
  };
}

/** @throws ActionError `payload_too_large` */
export function bodyOf(notification: Notification): string {
  const body = JSON.stringify(notification);
  if (Buffer.byteLength(body) <= MOST_BODY_BYTES) return body;
  throw new ActionError(`The notification is larger than ${MOST_BODY_BYTES} bytes, which Backstage would not take`, {
    code: 'payload_too_large',
  });
}

/**
 * Under one scope, of one origin, a user has one notification: what is sent again updates it. The correlation id is the idempotency
 * key's, where there is one.
 */
function scopeOf({ tenantId, userId, correlationId }: Sender, scope: string | undefined): string {
  if (scope === undefined) return `callboard:${correlationId}`;
  const own = `${tenantId}/${userId}/${scope}`;
  if (own.length <= COLUMN_CHARS) return own;
  throw new ActionError(`scope is too long: with tenant and client before it, it may have ${COLUMN_CHARS} characters`, {
    code: 'invalid_arguments',
  });
}

/** As Backstage checks it: a path is one within Backstage. */
function checkLink(link: string): void {
  try {
    const { protocol } = new URL(link.replace(/^\//, ''), 'http://backstage.invalid/');
    if (protocol === 'http:' || protocol === 'https:') return;
  } catch {
    // As below.
  }
  throw new ActionError('link must be an http or https URL, or a path within Backstage', { code: 'invalid_arguments' });
}

function wholeRefs(refs: string | string[]): string[] {
  const whole = [refs].flat().map((ref) => {
    const [kind = '', rest = ''] = ref.toLowerCase().split(':', 2);
    return `${kind}:${rest.includes('/') ? rest : `default/${rest}`}`;
  });
  return [...new Set(whole)].sort();
}

function withoutUndefined(object: object): object {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}
