// What the page does by itself: previews that come into view, links that are copied, pictures that are
// dropped, pasted or chosen.
"use strict";

const { base, dir } = document.body.dataset;
const token = document.querySelector('meta[name="bedfs-token"]').content;
const said = document.getElementById("said");

let hiding;
function say(words) {
  said.textContent = words;
  said.classList.add("shown");
  clearTimeout(hiding);
  hiding = setTimeout(() => said.classList.remove("shown"), 4000);
}

// A preview may cost traffic, so it is asked for when its place comes into view, and not before.
const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) {
      seen.unobserve(target);
      target.src = target.dataset.src;
    }
  }
});
let counting;
function count() {
  clearTimeout(counting);
  counting = setTimeout(async () => {
    const answer = await fetch(base + "fetched").catch(() => null);
    if (answer?.ok) document.getElementById("fetched").textContent = await answer.text();
  }, 300);
}
for (const img of document.querySelectorAll("img[data-src]")) {
  img.addEventListener("load", () => {
    img.classList.add("loaded");
    count();
  });
  img.addEventListener("error", () => {
    const none = document.createElement("span");
    none.className = "none";
    none.textContent = "no preview";
    img.replaceWith(none);
    count();
  });
  seen.observe(img);
}

document.addEventListener("click", async ({ target }) => {
  const text = target.closest?.("[data-copy]")?.dataset.copy;
  if (text === undefined) return;
  try {
    await navigator.clipboard.writeText(text);
    say("Copied: " + text);
  } catch {
    // Browsers may forbid it: then it can be copied by hand.
    window.prompt("Copy this:", text);
  }
});

const uploads = document.getElementById("uploads");
async function upload(files) {
  const pictures = [...files].filter((file) => file.type.startsWith("image/"));
  if (pictures.length === 0) return say("There is no picture in this.");
  const line = document.createElement("li");
  line.textContent = `Uploading ${pictures.map((file) => file.name).join(", ")} …`;
  uploads.append(line);
  const form = new FormData();
  for (const file of pictures) form.append("file", file, file.name);
  let message;
  try {
    const where = base + "upload?dir=" + encodeURIComponent(dir);
    const options = { method: "POST", body: form, headers: { "X-Bedfs-Token": token } };
    const answer = await (await fetch(where, options)).json();
    if (answer.success) return location.reload();
    message = answer.message;
  } catch (error) {
    message = String(error);
  }
  line.textContent = message;
  line.className = "error";
  say("Not uploaded: " + message);
}

const input = document.getElementById("files");
input.addEventListener("change", () => upload(input.files));
document.addEventListener("paste", ({ clipboardData }) => {
  if (clipboardData.files.length > 0) upload(clipboardData.files);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", ({ relatedTarget }) => {
  if (relatedTarget === null) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  upload(event.dataTransfer.files);
});
