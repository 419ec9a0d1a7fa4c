import { IsInt, IsString, Max, Min } from 'class-validator';
import { AppConfig } from './app-config.js';
import { FromEnv } from './load-config.js';

/** The variables of the apps that strangers reach over HTTP. */
export abstract class EdgeConfig extends AppConfig {
  @FromEnv(
    'CALLBOARD_ACCESS',
    'Path of the access file: issuers whose tokens are good here, and what their claims mean',
  )
  @IsString()
  access: string = '';

  @FromEnv(
    'CALLBOARD_MAX_FAILED_AUTHENTICATIONS',
    'Requests of one client address in a minute whose credentials may turn out not to be good, before it is refused; 0: no limit',
  )
  @IsInt()
  @Min(0)
  @Max(1_000_000)
  maxFailedAuthentications: number = 60;

  @FromEnv(
    'CALLBOARD_TRUSTED_HOPS',
    'Proxies in front, each of which adds the address that it sees to X-Forwarded-For; 0: the header is not believed',
  )
  @IsInt()
  @Min(0)
  @Max(16)
  trustedHops: number = 0;
}
