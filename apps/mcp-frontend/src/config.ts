import { EdgeConfig, FromEnv } from '@callboard/config';
import { IsBase64, IsBoolean, IsInt, IsNotEmpty, IsString, Max, Min, MinLength, ValidateIf } from 'class-validator';

const LOCALHOST = 'localhost,127.0.0.1,[::1]';

/** Configuration of one process of the front end. */
export class FrontendConfig extends EdgeConfig {
  @FromEnv('CALLBOARD_INSTANCE', 'Name of this replica; a restarted process keeps it')
  @IsString()
  @IsNotEmpty()
  instance: string = 'mcp-frontend-1';

  @FromEnv(
    'CALLBOARD_HTTP_HOST',
    'Address to serve MCP on; on anything but a loopback address nobody may call without a token',
  )
  @IsString()
  @IsNotEmpty()
  httpHost: string = '127.0.0.1';

  @FromEnv('CALLBOARD_HTTP_PORT', 'Port to serve MCP on; 0 takes any free port')
  @IsInt()
  @Min(0)
  @Max(65535)
  httpPort: number = 3333;

  @FromEnv('CALLBOARD_TOKENS_FILE', 'JSON file of bearer tokens for machines, as hashes, with what each is good for')
  @IsString()
  tokensFile: string = '';

  @FromEnv(
    'CALLBOARD_SERVERS',
    'Path of the servers file: MCP servers beside the one at /mcp, and what each of them shows',
  )
  @IsString()
  servers: string = '';

  @FromEnv(
    'CALLBOARD_POLICIES',
    "Cedar policies that say who may do what: a *.cedar file, or a folder of them; see docs/access-policies.md. Empty: everything within one's tenant",
  )
  @IsString()
  policies: string = '';

  @FromEnv(
    'CALLBOARD_QUOTAS',
    'YAML file of quotas: how much each tenant may use; read again whenever it changes. See docs/tenancy.md. Empty: the limits below for every tenant',
  )
  @IsString()
  quotas: string = '';

  @FromEnv('CALLBOARD_ALLOWED_HOSTS', 'Host names under which clients may address this server, comma separated')
  @IsString()
  @IsNotEmpty()
  allowedHosts: string = LOCALHOST;

  @FromEnv('CALLBOARD_ALLOWED_ORIGINS', 'Host names of web pages that may call this server, comma separated')
  @IsString()
  allowedOrigins: string = LOCALHOST;

  @FromEnv(
    'CALLBOARD_REQUEST_STATE_KEY',
    'At least 32 random bytes in base64, the same on every replica; seals what travels between rounds of input. Empty: a key of this process, fit for one replica',
  )
  @ValidateIf(({ requestStateKey }: FrontendConfig) => requestStateKey !== '')
  @IsBase64()
  @MinLength(43)
  requestStateKey: string = '';

  @FromEnv(
    'CALLBOARD_RESULTS_KEY',
    'At least 32 random bytes in base64, the same on every front end and runner: key of the tokens with which far sides report. Empty: no far side can',
  )
  @ValidateIf(({ resultsKey }: FrontendConfig) => resultsKey !== '')
  @IsBase64()
  @MinLength(43)
  resultsKey: string = '';

  @FromEnv('CALLBOARD_MAX_BODY_BYTES', 'Largest request body')
  @IsInt()
  @Min(1024)
  maxBodyBytes: number = 1024 * 1024;

  @FromEnv('CALLBOARD_MAX_DEPTH', 'Deepest nesting of a request body')
  @IsInt()
  @Min(8)
  @Max(512)
  maxDepth: number = 64;

  @FromEnv('CALLBOARD_REQUEST_TIMEOUT_MS', 'How long a client may take to send a whole request')
  @IsInt()
  @Min(100)
  requestTimeoutMs: number = 15_000;

  @FromEnv('CALLBOARD_MAX_REQUESTS', 'Requests of this replica that may be in flight at once')
  @IsInt()
  @Min(1)
  maxRequests: number = 4096;

  @FromEnv('CALLBOARD_MAX_REQUEST_BYTES', 'Bytes of the bodies of all requests in flight')
  @IsInt()
  @Min(1024 * 1024)
  maxRequestBytes: number = 256 * 1024 * 1024;

  @FromEnv('CALLBOARD_MAX_LISTENS', 'Open subscriptions/listen streams of this replica, and tasks that they follow')
  @IsInt()
  @Min(1)
  maxListens: number = 1024;

  @FromEnv('CALLBOARD_MAX_WAITING_POLLS', 'Polls of event subscriptions that may wait for an event at this replica')
  @IsInt()
  @Min(1)
  maxWaitingPolls: number = 1024;

  @FromEnv(
    'CALLBOARD_MAX_EVENT_SUBSCRIPTIONS_PER_PRINCIPAL',
    'Named event subscriptions of one principal, unless the quotas file says otherwise',
  )
  @IsInt()
  @Min(1)
  maxEventSubscriptionsPerPrincipal: number = 32;

  @FromEnv(
    'CALLBOARD_MAX_EVENT_SUBSCRIPTIONS_PER_TENANT',
    'Named event subscriptions of one tenant, unless the quotas file says otherwise',
  )
  @IsInt()
  @Min(1)
  maxEventSubscriptionsPerTenant: number = 1_000;

  @FromEnv('CALLBOARD_EVENT_SUBSCRIPTION_TTL_MS', 'How long a named event subscription lives after its last poll')
  @IsInt()
  @Min(60_000)
  eventSubscriptionTtlMs: number = 30 * 24 * 3_600_000;

  @FromEnv(
    'CALLBOARD_EXPERIMENTAL_EVENTS',
    'Serve the MCP extension io.modelcontextprotocol/events, in its poll mode; it may change',
  )
  @IsBoolean()
  experimentalEvents: boolean = false;

  @FromEnv(
    'CALLBOARD_SYNC_WINDOW_MS',
    'How long a call that may become a task, or was made with accept_async, is waited for before it is answered with a handle',
  )
  @IsInt()
  @Min(0)
  syncWindowMs: number = 1_000;

  @FromEnv(
    'CALLBOARD_MAX_COMMANDS_PER_TENANT',
    'Commands of one tenant that this replica had accepted and that have not ended, unless the quotas file says otherwise',
  )
  @IsInt()
  @Min(1)
  maxCommandsPerTenant: number = 65_536;

  @FromEnv(
    'CALLBOARD_MAX_COMMANDS_PER_PRINCIPAL',
    'Commands of one principal that this replica had accepted and that have not ended, unless the quotas file says otherwise',
  )
  @IsInt()
  @Min(1)
  maxCommandsPerPrincipal: number = 16_384;

  @FromEnv(
    'CALLBOARD_COMMANDS_UNDER_WAY',
    'Most commands of all tenants that this replica has under way at once while several tenants call; it finds how many are good, and more wait their turn. See docs/tenancy.md',
  )
  @IsInt()
  @Min(1)
  commandsUnderWay: number = 256;

  @FromEnv('CALLBOARD_MAX_LINE_PER_TENANT', 'Commands of one tenant that may wait for their turn at this replica')
  @IsInt()
  @Min(1)
  maxLinePerTenant: number = 1_024;

  @FromEnv('CALLBOARD_SESSION_TTL_MS', 'How long a 2025-era session lives after its last use')
  @IsInt()
  @Min(1_000)
  sessionTtlMs: number = 3_600_000;

  @FromEnv(
    'CALLBOARD_SESSION_RETRY_MS',
    'How long 2025-era clients are told to wait before they come back for a stream',
  )
  @IsInt()
  @Min(0)
  sessionRetryMs: number = 1_500;

  @FromEnv('CALLBOARD_MAX_SESSIONS', 'Sessions of all replicas together')
  @IsInt()
  @Min(1)
  maxSessions: number = 50_000;

  @FromEnv('CALLBOARD_MAX_SESSION_REQUESTS', 'Requests of sessions that this replica runs at once')
  @IsInt()
  @Min(1)
  maxSessionRequests: number = 2_048;

  @FromEnv('CALLBOARD_MAX_SESSION_STREAMS', 'Streams that clients of this replica may have open with GET')
  @IsInt()
  @Min(1)
  maxSessionStreams: number = 8_192;

  @FromEnv('CALLBOARD_MAX_CONNECTIONS', 'Open connections of this replica; more are closed as they come')
  @IsInt()
  @Min(1)
  maxConnections: number = 16_384;

  @FromEnv('CALLBOARD_DRAIN_TIMEOUT_MS', 'How long a stopping replica waits for the requests that it serves')
  @IsInt()
  @Min(0)
  drainTimeoutMs: number = 10_000;

  @FromEnv(
    'CALLBOARD_SCHEDULE_DEADLINES_AFTER_MS',
    'Age from which the deadline of a command that is waited for is scheduled in the stream; 0 schedules it with every command',
  )
  @IsInt()
  @Min(0)
  @Max(60_000)
  scheduleDeadlinesAfterMs: number = 250;

  @FromEnv(
    'CALLBOARD_CALL_SAGA_DEADLINE_MS',
    'How long a saga of calls may take that nobody completes; then it is stopped, and what it did is undone. 30 days at most',
  )
  @IsInt()
  @Min(1_000)
  @Max(2_592_000_000)
  callSagaDeadlineMs: number = 86_400_000;
}
