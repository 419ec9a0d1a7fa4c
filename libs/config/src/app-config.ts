import { IsBoolean, IsInt, IsNotEmpty, IsNumber, IsOptional, IsString, IsUrl, Max, Min } from 'class-validator';
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

  @FromEnv('CALLBOARD_NATS_NKEY', "File with the seed of the nkey of the app's NATS user, instead of credentials")
  @IsOptional()
  @IsString()
  natsNkey?: string = undefined;

  @FromEnv(
    'CALLBOARD_NATS_TLS_CA',
    'File with the certificates of the authorities that may have signed that of NATS; with none, and a URL that begins with `tls://`, those of the system',
  )
  @IsOptional()
  @IsString()
  natsTlsCa?: string = undefined;

  @FromEnv('CALLBOARD_NATS_TLS_CERT', 'File with our own certificate, for a NATS that asks who connects')
  @IsOptional()
  @IsString()
  natsTlsCert?: string = undefined;

  @FromEnv('CALLBOARD_NATS_TLS_KEY', 'File with the key of that certificate')
  @IsOptional()
  @IsString()
  natsTlsKey?: string = undefined;

  @FromEnv('CALLBOARD_NATS_TLS_FIRST', 'TLS before the first word of NATS, as its setting `handshake_first` has it')
  @IsBoolean()
  natsTlsFirst: boolean = false;

  @FromEnv('CALLBOARD_OPS_HOST', 'Address for health checks and metrics')
  @IsString()
  @IsNotEmpty()
  opsHost: string = '127.0.0.1';

  @FromEnv('CALLBOARD_OPS_PORT', 'Port for health checks and metrics; 0 takes any free one')
  @IsInt()
  @Min(0)
  @Max(65_535)
  opsPort: number = 0;

  @FromEnv(
    'CALLBOARD_TRACES_URL',
    'Where traces go, by OTLP over HTTP, such as http://collector:4318/v1/traces; none without it',
  )
  @IsOptional()
  @IsUrl({ protocols: ['http', 'https'], require_protocol: true, require_tld: false })
  tracesUrl?: string = undefined;

  @FromEnv(
    'CALLBOARD_TRACES_RATIO',
    'Share of the traces that begin here and are kept; one that a caller has begun is kept when the caller keeps it',
  )
  @IsNumber()
  @Min(0)
  @Max(1)
  tracesRatio: number = 1;
}
