import { AppConfig, FromEnv } from '@callboard/config';
import { IsBase64, IsInt, IsNotEmpty, IsOptional, IsString, Length, Max, Min, ValidateIf } from 'class-validator';

/** 32 bytes in base64. */
const KEY_CHARS = 44;

/** Configuration of one process of the audit writer. */
export class AuditWriterConfig extends AppConfig {
  @FromEnv('CALLBOARD_INSTANCE', 'Name of this replica; one writes, the others wait until it does not')
  @IsString()
  @IsNotEmpty()
  instance: string = 'audit-writer-1';

  @FromEnv('CALLBOARD_AUDIT_DATABASE_URL', 'URL of the PostgreSQL database of the ledger')
  @IsOptional()
  @IsString()
  databaseUrl?: string = undefined;

  @FromEnv(
    'CALLBOARD_AUDIT_DATABASE_DIR',
    'Folder of an embedded database, for one process on one machine; used where there is no URL',
  )
  @ValidateIf(({ databaseUrl }: AuditWriterConfig) => databaseUrl === undefined)
  @IsString()
  @IsNotEmpty()
  databaseDir?: string = undefined;

  @FromEnv(
    'CALLBOARD_AUDIT_SEALING_KEY',
    '32 random bytes in base64: wraps the keys that seal what is personal in the ledger. Whoever loses it loses that; the chain stays',
  )
  @IsBase64()
  @Length(KEY_CHARS, KEY_CHARS)
  sealingKey!: string;

  @FromEnv(
    'CALLBOARD_AUDIT_SIGNING_KEY',
    '32 random bytes in base64: seed of the Ed25519 key that signs checkpoints of the ledger',
  )
  @IsBase64()
  @Length(KEY_CHARS, KEY_CHARS)
  signingKey!: string;

  @FromEnv('CALLBOARD_AUDIT_CHECKPOINT_MS', 'How often the chains that have grown get a signed checkpoint')
  @IsInt()
  @Min(100)
  @Max(3_600_000)
  checkpointMs: number = 30_000;

  @FromEnv(
    'CALLBOARD_AUDIT_KEEP_MS',
    'How long a record stays in the stream once the ledger has it and a checkpoint vouches for it; shorter when the stream is half full',
  )
  @IsInt()
  @Min(0)
  keepMs: number = 3_600_000;
}
