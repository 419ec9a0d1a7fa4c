import { AppConfig, FromEnv } from '@callboard/config';
import { IsInt, IsNotEmpty, IsOptional, IsString, IsUrl, Max, Min } from 'class-validator';
import { hostname } from 'node:os';

/** Configuration of one process of the notifier. Budgets, policies and the Backstages of tenants are in the notifications file. */
export class NotifierConfig extends AppConfig {
  @FromEnv(
    'CALLBOARD_INSTANCE',
    'Name of this replica; no two living processes may share one. A restarted replica that keeps its name tells at once that the process before is gone',
  )
  @IsString()
  @IsNotEmpty()
  instance: string = `notifier-${hostname()}-${process.pid}`;

  @FromEnv(
    'CALLBOARD_NOTIFICATIONS',
    'YAML file of the Backstages, budgets and policies of notifications; see docs/notifications.md',
  )
  @IsOptional()
  @IsString()
  notificationsFile?: string = undefined;

  @FromEnv(
    'CALLBOARD_POLICIES',
    "Cedar policies that say who may do what: a *.cedar file, or a folder of them; see docs/access-policies.md. Empty: everything within one's tenant",
  )
  @IsString()
  policies: string = '';

  @FromEnv('CALLBOARD_BACKSTAGE_URL', 'URL of the Backstage backend for tenants of which the file says nothing')
  @IsOptional()
  @IsUrl({ protocols: ['http', 'https'], require_protocol: true, require_tld: false })
  backstageUrl?: string = undefined;

  @FromEnv(
    'CALLBOARD_BACKSTAGE_NOTIFICATIONS_TOKEN_FILE',
    'File with an external-access token of that Backstage for its plug-in notifications',
  )
  @IsOptional()
  @IsString()
  backstageTokenFile?: string = undefined;

  @FromEnv('CALLBOARD_NOTIFIER_MAX_COMMANDS', 'Notifications that this process has at once, those that wait included')
  @IsInt()
  @Min(1)
  @Max(65_536)
  maxCommands: number = 4_096;

  @FromEnv('CALLBOARD_NOTIFIER_CONCURRENCY', 'Requests to Backstage at once')
  @IsInt()
  @Min(1)
  @Max(1_024)
  concurrency: number = 16;

  @FromEnv('CALLBOARD_BACKSTAGE_TIMEOUT_MS', 'How long Backstage may take for one notification; then it is sent again')
  @IsInt()
  @Min(100)
  @Max(600_000)
  timeoutMs: number = 60_000;

  @FromEnv('CALLBOARD_DRAIN_TIMEOUT_MS', 'How long a stopping notifier waits for what it has; then others take it over')
  @IsInt()
  @Min(0)
  @Max(3_600_000)
  drainTimeoutMs: number = 10_000;
}
