# SPDX-License-Identifier: GPL-3.0-or-later
# Loads the shared parts into a module of the app's own:
#
#     load File.join(File.dirname(__FILE__), "shared/all.rb"), ces = Module.new
#
# The dashboard is one process for all apps: constants that were global would be those of whichever app came first, and
# would stay when an app is updated.
require "json"
require "shellwords"
require "erb"
require "time"
require "fileutils"

%w[quote words names rules fields app clusters form cures image_check submission one_shot outcome card].each do |part|
  load File.join(__dir__, "#{part}.rb"), Module.nesting.first
end
