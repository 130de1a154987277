// EXIF orientation of WebP files. Browsers turn JPEG and PNG files as it says; Chromium leaves WebP files as they are stored, while the
// server turns all of them.

/**
 * Decodes an image with its orientation applied, as the server does.
 * @param {Blob} file
 */
export async function decodeImage(file) {
  const bitmap = await createImageBitmap(file, { imageOrientation: 'from-image' });
  if (!/^RIFF....WEBPVP8X/s.test(new TextDecoder('latin1').decode(await file.slice(0, 16).arrayBuffer()))) return bitmap; // others have no EXIF data
  const orientation = orientationOf(new Uint8Array(await file.arrayBuffer()));
  if (orientation < 2 || orientation > 8 || (await (turns ??= turnsWebP()))) return bitmap;
  return turned(bitmap, orientation);
}

/** @type {Promise<boolean> | null} */
let turns = null;

/** Reports whether this browser applies the orientation of WebP files, by one of 2 × 1 pixels that is to be turned. */
async function turnsWebP() {
  const chunk = (/** @type {string} */ name, /** @type {number[]} */ ...body) => [...name].map((c) => c.charCodeAt(0)).concat([body.length, 0, 0, 0], body);
  const chunks = [
    ...chunk('VP8X', 8, 0, 0, 0, 1, 0, 0, 0, 0, 0), // there is EXIF data; width − 1 and height − 1
    ...chunk('VP8L', 47, 1, 0, 0, 0, 7, 16, 17, 253, 15, 68, 68, 255, 3), // black
    ...chunk('EXIF', 0x49, 0x49, 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0), // orientation 6
  ];
  const file = [...chunk('RIFF').slice(0, 4), chunks.length + 4, 0, 0, 0, ...chunk('WEBP').slice(0, 4), ...chunks];
  const bitmap = await createImageBitmap(new Blob([new Uint8Array(file)]), { imageOrientation: 'from-image' });
  return bitmap.width === 1;
}

/**
 * Returns the orientation that the EXIF chunk of a WebP file has (EXIF 2.32, tag 0x0112), 1 without one.
 * @param {Uint8Array} file
 */
export function orientationOf(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  for (let at = 12; at + 8 <= file.length;) {
    const size = view.getUint32(at + 4, true), end = Math.min(file.length, at + 8 + size);
    if (String.fromCharCode(...file.subarray(at, at + 4)) === 'EXIF') {
      const prefixed = String.fromCharCode(...file.subarray(at + 8, at + 12)) === 'Exif';
      return ofTIFF(new DataView(file.buffer, file.byteOffset + at + (prefixed ? 14 : 8), Math.max(0, end - at - (prefixed ? 14 : 8))));
    }
    at += 8 + size + (size & 1);
  }
  return 1;
}

/** @param {DataView} tiff */
function ofTIFF(tiff) {
  if (tiff.byteLength < 10) return 1;
  const little = tiff.getUint16(0) === 0x4949, directory = tiff.getUint32(4, little);
  if (directory + 2 > tiff.byteLength) return 1;
  const entries = tiff.getUint16(directory, little);
  for (let i = 0, at = directory + 2; i < entries && at + 12 <= tiff.byteLength; i++, at += 12) {
    if (tiff.getUint16(at, little) === 0x0112) return tiff.getUint16(at + 2, little) === 4 ? tiff.getUint32(at + 8, little) : tiff.getUint16(at + 8, little);
  }
  return 1;
}

/**
 * Turns a stored image as an orientation says.
 * @param {ImageBitmap} stored @param {number} orientation from 2 to 8
 */
function turned(stored, orientation) {
  const { width: w, height: h } = stored, swapped = orientation >= 5;
  const canvas = new OffscreenCanvas(swapped ? h : w, swapped ? w : h);
  /** @type {Record<number, [number, number, number, number, number, number]>} from stored to upright pixels, as of setTransform */
  const transforms = { 2: [-1, 0, 0, 1, w, 0], 3: [-1, 0, 0, -1, w, h], 4: [1, 0, 0, -1, 0, h], 5: [0, 1, 1, 0, 0, 0], 6: [0, 1, -1, 0, h, 0],
    7: [0, -1, -1, 0, h, w], 8: [0, -1, 1, 0, 0, w] };
  const to = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d'));
  to.setTransform(...transforms[orientation]);
  to.drawImage(stored, 0, 0);
  stored.close();
  return canvas.transferToImageBitmap();
}
