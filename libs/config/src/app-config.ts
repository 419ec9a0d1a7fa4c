import { IsInt, IsNotEmpty, IsOptional, IsString, Max, Min } from 'class-validator';
import { FromEnv } from './load-config.js';

/** The variables that every app has. */
export abstract class AppConfig {
  /** Stable name of this process; what its uniqueness is for differs from app to app. */
  abstract instance: string;

  @FromEnv('CALLBOARD_NATS_URL', 'URL of a NATS server; several, comma separated')
  @IsString()
  @IsNotEmpty()
  natsUrl: string = 'nats://127.0.0.1:4222';

  @FromEnv(
    'CALLBOARD_NATS_CREDS',
    "File with the credentials of the app's NATS user; none on a server without authentication",
  )
  @IsOptional()
  @IsString()
  natsCreds?: string = undefined;

  @FromEnv('CALLBOARD_OPS_HOST', 'Address for health checks and metrics')
  @IsString()
  @IsNotEmpty()
  opsHost: string = '127.0.0.1';

  @FromEnv('CALLBOARD_OPS_PORT', 'Port for health checks and metrics; 0 takes any free one')
  @IsInt()
  @Min(0)
  @Max(65_535)
  opsPort: number = 0;
}
