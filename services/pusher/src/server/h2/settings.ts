import {
  broken,
  ConnectionError,
  defaultTableBytes,
  defaultWindow,
  errorCodes,
  maxFrameBytes,
  maxWindow,
  overflow,
  ownWindow,
  settingIds,
  settingsFrame,
  windowFrame,
} from './frames.ts';
import type { ConnectionLimits } from './limits.ts';

const entryBytes = 6;
/** There are six settings; each of the window is work for all streams. */
const mostEntries = 32;

/** What we say that we are, and take at once. */
export function greetingOf({ maxStreams, maxHeaderBytes }: ConnectionLimits): Buffer {
  const settings = settingsFrame([
    [settingIds.maxConcurrentStreams, maxStreams],
    [settingIds.maxHeaderListSize, maxHeaderBytes],
  ]);
  return Buffer.concat([settings, windowFrame(0, ownWindow - defaultWindow)]);
}

/** What a SETTINGS frame tells that we heed. */
export interface PeerSettings {
  /** The peer's window of a stream. */
  initialWindow: number | undefined;
  /** Whether its table of header fields is to be smaller than it is by default, if only for a while. */
  smallTable: boolean;
}

/** All is checked (RFC 9113, 6.5). */
export function settingsOf(payload: Buffer): PeerSettings {
  if (payload.length % entryBytes !== 0) {
    throw new ConnectionError(errorCodes.frameSize, 'SETTINGS that are cut');
  }
  if (payload.length > mostEntries * entryBytes) {
    throw new ConnectionError(errorCodes.enhanceYourCalm, 'too many SETTINGS');
  }
  const settings: PeerSettings = { initialWindow: undefined, smallTable: false };
  for (let at = 0; at < payload.length; at += entryBytes) {
    const id = payload.readUInt16BE(at);
    const value = payload.readUInt32BE(at + 2);
    check(id, value);
    if (id === settingIds.initialWindowSize) settings.initialWindow = value;
    if (id === settingIds.headerTableSize) settings.smallTable ||= value < defaultTableBytes;
  }
  return settings;
}

function check(id: number, value: number): void {
  if (id === settingIds.initialWindowSize && value > maxWindow) {
    throw overflow();
  }
  const wrong =
    (id === settingIds.enablePush && value > 1) ||
    (id === settingIds.maxFrameSize && (value < maxFrameBytes || value > 0xff_ffff));
  if (wrong) throw broken('a setting out of its range');
}
