// Reads a QR code by the camera, or from a picture.

import { $ } from "./dom.js";

/** The longest side of what is looked at: enough for a code that fills a third of the picture. */
const LIVE = 720;
const PICTURE = 1600;
/** Between two looks, in milliseconds. */
const PAUSE = 150;

/** Opens the dialog; gives the text of the code, or null when it is closed. */
export async function scan() {
  const dialog = $("scan-dialog");
  const reader = await makeReader();
  const end = new AbortController();
  let found = null;
  const finish = (text) => {
    if (!text) return;
    found = text;
    dialog.close();
  };
  $("scan-text").textContent = "";
  dialog.showModal();
  $("scan-title").focus();
  $("scan-file").addEventListener("change", () => fromFile(reader).then(finish), { signal: end.signal });
  const closed = new Promise((resolve) => {
    dialog.addEventListener("close", resolve, { once: true });
  });
  watch(reader, end.signal, finish);
  await closed;
  end.abort();
  reader.close();
  return found;
}

/** The browser's own reader where there is one; else ours, in a worker. */
async function makeReader() {
  const formats = await globalThis.BarcodeDetector?.getSupportedFormats?.().catch(() => []);
  if (formats?.includes("qr_code")) {
    const detector = new BarcodeDetector({ formats: ["qr_code"] });
    return { read: async (image) => (await detector.detect(image))[0]?.rawValue ?? null, close() {} };
  }
  const worker = new Worker(new URL("../scan-worker.js", import.meta.url), { type: "module" });
  const read = (image) =>
    new Promise((resolve) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = () => resolve(null);
      worker.postMessage(image, [image.data.buffer]);
    });
  return { read, close: () => worker.terminate() };
}

async function watch(reader, signal, finish) {
  const video = $("scan-video");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
  } catch {
    $("scan-text").textContent = "The camera cannot be used here. A picture of the code will do.";
    return;
  }
  const stop = () => {
    stream.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
    video.hidden = true;
  };
  signal.addEventListener("abort", stop);
  if (signal.aborted) return stop();
  video.srcObject = stream;
  video.hidden = false;
  $("scan-text").textContent = "Hold the code in front of the camera.";
  await video.play().catch(() => {});
  while (!signal.aborted) {
    if (video.videoWidth > 0) {
      const text = await reader.read(pixels(video, video.videoWidth, video.videoHeight, LIVE)).catch(() => null);
      if (text && !signal.aborted) return finish(text);
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

async function fromFile(reader) {
  const [file] = $("scan-file").files;
  $("scan-file").value = "";
  if (!file) return null;
  $("scan-text").textContent = "Reading…";
  try {
    const image = await createImageBitmap(file);
    const text = await reader.read(pixels(image, image.width, image.height, PICTURE));
    if (text) return text;
    $("scan-text").textContent = "There is no QR code to be read in this picture. Try one that is nearer and sharper.";
  } catch {
    $("scan-text").textContent = "This file is no picture that this browser can read.";
  }
  return null;
}

function pixels(source, width, height, longest) {
  const scale = Math.min(1, longest / Math.max(width, height));
  const canvas = new OffscreenCanvas(Math.round(width * scale), Math.round(height * scale));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}
