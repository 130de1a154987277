// A photograph by the camera of this machine.
import { get } from './dom.js';

/**
 * Shows what the camera sees until a photograph is taken.
 * @returns {Promise<File | null>} null: none was taken
 */
export async function camera() {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment', width: { ideal: 1920 } } });
  const dialog = get('camera-dialog', HTMLDialogElement), video = get('video', HTMLVideoElement);
  const shoot = get('shoot', HTMLButtonElement), cancel = get('camera-close', HTMLButtonElement);
  try {
    video.srcObject = stream;
    dialog.showModal();
    await video.play();
    return await new Promise((resolve) => {
      shoot.onclick = () => resolve(photograph(video));
      cancel.onclick = () => resolve(null);
      dialog.onclose = () => resolve(null);
    });
  } finally {
    dialog.onclose = null;
    dialog.close();
    video.srcObject = null;
    for (const track of stream.getTracks()) track.stop();
  }
}

/** @param {HTMLVideoElement} video */
async function photograph(video) {
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext('2d')?.drawImage(video, 0, 0);
  return new File([await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.92 })], 'photo.jpg', { type: 'image/jpeg' });
}
