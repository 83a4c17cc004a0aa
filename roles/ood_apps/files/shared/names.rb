# SPDX-License-Identifier: GPL-3.0-or-later
# What things are called that come from an image's name.
module Names
  # The container's name: what was typed, else image and session.
  def self.container(image, typed, session)
    typed.empty? && !image.empty? ? "#{parts(image).first[0, 80]}-#{session}" : typed
  end

  # The image file, as ces-pull apptainer calls it.
  def self.image_file(image)
    short, tag, digest = parts(image)
    "#{short}:#{tag || (digest || "latest")[0, 19]}.sif"
  end

  def self.parts(image) = image.match(/([^\/:@]*)(?::([^\/@]+))?(?:@(.+))?\z/).captures
  private_class_method :parts
end
