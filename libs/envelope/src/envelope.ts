import 'reflect-metadata';
import {
  ArrayMaxSize,
  IsArray,
  IsBoolean,
  IsIn,
  IsInt,
  IsNotEmpty,
  IsObject,
  IsOptional,
  IsString,
  Max,
  MaxLength,
  Min,
  ValidateBy,
  ValidateNested,
  validateSync,
} from 'class-validator';
import { CallboardError } from './errors.js';
import { LIMITS } from './limits.js';
import type { ActionName } from './subjects.js';

export const ENVELOPE_VERSION = '1.0';

export const PRIORITIES = ['high', 'normal', 'low'] as const;
export type Priority = (typeof PRIORITIES)[number];

export type JsonObject = { [name: string]: unknown };

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

/** A date and time with its zone. ISO 8601 allows more; some of it is no time at all to `Date`, and so a deadline that never comes. */
function isInstant(value: unknown): boolean {
  return typeof value === 'string' && INSTANT.test(value) && !Number.isNaN(Date.parse(value));
}

const IsInstant = () => ValidateBy({ name: 'isInstant', validator: { validate: isInstant } });

/** What undoes a done step of a saga. */
export class Compensation implements ActionName {
  @IsString()
  @IsNotEmpty()
  @MaxLength(LIMITS.actionNameChars)
  tool!: string;

  @IsString()
  @MaxLength(LIMITS.actionNameChars)
  method!: string;

  @IsObject()
  args!: JsonObject;
}

/** What policies may ask about the caller beyond who it is: so that what was decided when a command was accepted can be decided again. */
export class CommandCaller {
  /** How it was known. */
  @IsString()
  @MaxLength(32)
  via!: string;

  /** Path of the MCP server that it came through. */
  @IsString()
  @MaxLength(LIMITS.nameChars)
  server!: string;

  @IsOptional()
  @IsString()
  @IsNotEmpty()
  @MaxLength(LIMITS.nameChars)
  client_id?: string;

  /** Absent where the credential was not limited by scopes. */
  @IsOptional()
  @IsArray()
  @ArrayMaxSize(LIMITS.groups)
  @IsString({ each: true })
  @MaxLength(LIMITS.nameChars, { each: true })
  scopes?: string[];
}

/**
 * One durable request to run an action, exactly as it is on the wire (JSON, snake_case). Members that are not named here are
 * kept as they came, so that a newer publisher and an older runner agree; an unknown `envelope_version` is refused.
 */
export class CommandEnvelope implements ActionName {
  @IsIn([ENVELOPE_VERSION])
  envelope_version!: typeof ENVELOPE_VERSION;

  @IsString()
  @IsNotEmpty()
  @MaxLength(LIMITS.nameChars)
  correlation_id!: string;

  /** What the caller called this command; absent when it did not. */
  @IsOptional()
  @IsString()
  @IsNotEmpty()
  @MaxLength(LIMITS.nameChars)
  idempotency_key?: string;

  @IsString()
  @IsNotEmpty()
  @MaxLength(LIMITS.nameChars)
  tenant_id!: string;

  @IsString()
  @IsNotEmpty()
  @MaxLength(LIMITS.nameChars)
  user_id!: string;

  /** What the user was a member of when the command was accepted. */
  @IsOptional()
  @IsArray()
  @ArrayMaxSize(LIMITS.groups)
  @IsString({ each: true })
  @IsNotEmpty({ each: true })
  @MaxLength(LIMITS.nameChars, { each: true })
  groups?: string[];

  /** The front end that took the call has a token of the caller's, for the runner to ask for. */
  @IsOptional()
  @IsBoolean()
  caller_token?: boolean;

  /** Absent where no caller sent it, as a scheduled command. */
  @IsOptional()
  @IsObject()
  @ValidateNested()
  caller?: CommandCaller;

  @IsString()
  @IsNotEmpty()
  @MaxLength(LIMITS.actionNameChars)
  tool!: string;

  /** Empty for an action whose id has no dot. */
  @IsString()
  @MaxLength(LIMITS.actionNameChars)
  method!: string;

  @IsObject()
  args!: JsonObject;

  @IsString()
  @IsNotEmpty()
  @MaxLength(LIMITS.nameChars)
  ordering_key!: string;

  /** Milliseconds from acceptance to the deadline. */
  @IsInt()
  @Min(LIMITS.minDeadlineMs)
  @Max(LIMITS.maxDeadlineMs)
  deadline_ms!: number;

  @IsIn(PRIORITIES)
  priority!: Priority;

  @IsBoolean()
  accept_partials!: boolean;

  @IsBoolean()
  accept_async!: boolean;

  @IsOptional()
  @IsString()
  @IsNotEmpty()
  @MaxLength(LIMITS.nameChars)
  saga_id?: string;

  @IsOptional()
  @IsString()
  @IsNotEmpty()
  @MaxLength(LIMITS.nameChars)
  saga_step?: string;

  @IsOptional()
  @IsObject()
  @ValidateNested()
  compensation?: Compensation;

  /** ISO 8601, UTC. */
  @IsInstant()
  issued_at!: string;

  /** `issued_at` plus `deadline_ms`, ISO 8601, UTC. */
  @IsInstant()
  deadline_at!: string;

  @IsOptional()
  @IsString()
  @MaxLength(128)
  traceparent?: string;

  @IsOptional()
  @IsString()
  @MaxLength(512)
  tracestate?: string;

  /** Which kinds of input the caller can give half-way: any of `elicitation`, `sampling`, `roots`. */
  @IsOptional()
  @IsArray()
  @IsString({ each: true })
  input_capabilities?: string[];

  /** The caller's answers to what the action asked in an earlier round, by the action's own keys. */
  @IsOptional()
  @IsObject()
  input_responses?: JsonObject;

  /** What the action asked to be given back with the answers; sealed while it was outside. */
  @IsOptional()
  @IsString()
  request_state?: string;

  /** The command that an operator sent again as this one. */
  @IsOptional()
  @IsString()
  @IsNotEmpty()
  @MaxLength(LIMITS.nameChars)
  redrive_of?: string;

  /** Ids of all the commands that this one repeats, oldest first; the last is `redrive_of`. */
  @IsOptional()
  @IsArray()
  @ArrayMaxSize(LIMITS.lineage)
  @IsString({ each: true })
  @IsNotEmpty({ each: true })
  @MaxLength(LIMITS.nameChars, { each: true })
  lineage?: string[];
}

/**
 * The trust boundary of every consumer: bytes or parsed JSON in, a valid envelope out.
 * @throws CallboardError `invalid_request`, naming the members that are wrong and never their values.
 */
export function parseEnvelope(data: Uint8Array | JsonObject): CommandEnvelope {
  let value: unknown = data;
  if (data instanceof Uint8Array) {
    if (data.byteLength > LIMITS.envelopeBytes) throw new CallboardError('payload_too_large');
    try {
      value = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8'));
    } catch {
      throw new CallboardError('invalid_request', 'The envelope is not JSON');
    }
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new CallboardError('invalid_request', 'The envelope is not a JSON object');
  }
  if (isPlainlyValid(value as JsonObject)) return value as CommandEnvelope;
  const envelope = fill(new CommandEnvelope(), value);
  if (envelope.compensation !== null && typeof envelope.compensation === 'object') {
    envelope.compensation = fill(new Compensation(), envelope.compensation);
  }
  if (envelope.caller !== null && typeof envelope.caller === 'object') {
    envelope.caller = fill(new CommandCaller(), envelope.caller);
  }
  const wrong = validateSync(envelope, {
    forbidUnknownValues: true,
    validationError: { target: false, value: false },
  });
  if (wrong.length > 0) throw wrongMembers(wrong.map((error) => error.property));
  return envelope;
}

/**
 * Gives an instance the members of parsed JSON. class-validator looks its rules up by the instance's constructor, so a member that
 * replaces that, or the prototype that it comes from, would switch every check off: it is refused.
 */
function fill<T extends object>(instance: T, members: object): T {
  const hostile = ['__proto__', 'constructor'].filter((name) => Object.hasOwn(members, name));
  if (hostile.length > 0) throw wrongMembers(hostile);
  return Object.assign(instance, members);
}

function wrongMembers(names: string[]): CallboardError {
  return new CallboardError('invalid_request', `The envelope has wrong members: ${names.join(', ')}`);
}

/**
 * The same rules by hand, for the shape that nearly every command has: class-validator takes 15 us for it, an eighth of all
 * that a runner does, this takes 3. It only ever says yes to what class-validator would accept; every doubt goes there.
 */
function isPlainlyValid(value: JsonObject): boolean {
  return (
    value.envelope_version === ENVELOPE_VERSION &&
    isName(value.correlation_id) &&
    (value.idempotency_key === undefined || isName(value.idempotency_key)) &&
    isName(value.tenant_id) &&
    isName(value.user_id) &&
    (value.groups === undefined || areGroups(value.groups)) &&
    (value.caller === undefined || isPlainCaller(value.caller)) &&
    isName(value.tool, LIMITS.actionNameChars) &&
    (value.method === '' || isName(value.method, LIMITS.actionNameChars)) &&
    typeof value.args === 'object' &&
    value.args !== null &&
    !Array.isArray(value.args) &&
    isName(value.ordering_key) &&
    Number.isInteger(value.deadline_ms) &&
    (value.deadline_ms as number) >= LIMITS.minDeadlineMs &&
    (value.deadline_ms as number) <= LIMITS.maxDeadlineMs &&
    PRIORITIES.includes(value.priority as Priority) &&
    typeof value.accept_partials === 'boolean' &&
    typeof value.accept_async === 'boolean' &&
    isInstant(value.issued_at) &&
    isInstant(value.deadline_at) &&
    (value.saga_id === undefined || isName(value.saga_id)) &&
    (value.saga_step === undefined || isName(value.saga_step)) &&
    value.compensation === undefined &&
    isShortText(value.traceparent, 128) &&
    isShortText(value.tracestate, 512) &&
    value.input_capabilities === undefined &&
    value.input_responses === undefined &&
    value.request_state === undefined &&
    value.redrive_of === undefined &&
    value.lineage === undefined
  );
}

function isName(value: unknown, most: number = LIMITS.nameChars): boolean {
  return typeof value === 'string' && value.length > 0 && value.length <= most;
}

function areGroups(value: unknown): boolean {
  return Array.isArray(value) && value.length <= LIMITS.groups && value.every((group) => isName(group));
}

function isPlainCaller(value: unknown): boolean {
  const { via, server, client_id: clientId, scopes } = (value ?? {}) as JsonObject;
  return (
    (via === '' || isName(via, 32)) &&
    (server === '' || isName(server)) &&
    (clientId === undefined || isName(clientId)) &&
    (scopes === undefined || areGroups(scopes))
  );
}

function isShortText(value: unknown, most: number): boolean {
  return value === undefined || (typeof value === 'string' && value.length <= most);
}
